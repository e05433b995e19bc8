/** RFC 9112 sections 6 and 7: bodies of known length, in chunks, and none. */
import { randomBytes } from 'node:crypto'
import { post, request, testServed } from './served.ts'

/** Around the sizes at which bodies change their way to the worker: in the record, beside it, streamed. */
const sizes = [0, 1, 1023, 16 * 1024, 16 * 1024 + 1, 256 * 1024, 256 * 1024 + 1, 1024 * 1024]

for (const path of ['/echo', '/echo-stream']) {
  for (const size of sizes) {
    testServed(`POST ${path} returns ${size} bytes sent with Content-Length`, async (t, served) => {
      const client = await served.connect(t)
      const body = randomBytes(size)
      client.send(request(`POST ${path}`, [`Content-Length: ${size}`]))
      client.send(body)
      const response = await client.response('POST')
      t.true(response.body.equals(body))
      if (response.headers.get('connection') === 'close') {
        // An answer that begins before its request is in may end the connection, if it says so.
        t.is(path, '/echo-stream')
        t.is((await client.ended()).rest.length, 0)
      } else {
        client.send(request('GET /'))
        t.is((await client.response()).text, 'hello')
      }
    })
  }

  testServed(`POST ${path} returns a chunked body, extensions and trailers dropped`, async (t, served) => {
    const client = await served.connect(t)
    const chunks = '5;name=value;q="a;b"\r\nhello\r\n00001\r\n,\r\nA\r\n 0123\r\n567\r\n0;last\r\nX-Trailer: yes\r\n\r\n'
    client.send(request(`POST ${path}`, ['Transfer-Encoding: chunked', 'Trailer: X-Trailer'], chunks) + request('GET /'))
    t.is((await client.response('POST')).text, 'hello, 0123\r\n567')
    t.is((await client.response()).text, 'hello')
  })

  testServed(`POST ${path} returns a large chunked body sent in odd pieces`, async (t, served) => {
    const client = await served.connect(t)
    const body = randomBytes(700_001)
    client.send(request(`POST ${path}`, ['Transfer-Encoding: chunked']))
    const encoded = encodeChunks(body, 9_973)
    for (let at = 0; at < encoded.length; at += 6_007) client.send(encoded.subarray(at, at + 6_007))
    t.true((await client.response('POST')).body.equals(body))
  })

  testServed(`POST ${path} returns an empty chunked body`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request(`POST ${path}`, ['Transfer-Encoding: chunked'], '0\r\n\r\n') + request('GET /'))
    t.is((await client.response('POST')).body.length, 0)
    t.is((await client.response()).text, 'hello')
  })
}

testServed('Transfer-Encoding: Chunked is read in any case', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('POST /echo', ['transfer-ENCODING: CHUNKED'], '3\r\nabc\r\n0\r\n\r\n'))
  t.is((await client.response('POST')).text, 'abc')
})

testServed('a stream of unknown length is answered in chunks', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /stream/one/two/three') + request('GET /'))
  const response = await client.response()
  t.is(response.framing, 'chunked')
  t.is(response.headers.get('transfer-encoding'), 'chunked')
  t.is(response.text, 'onetwothree')
  t.is((await client.response()).text, 'hello')
})

testServed('a stream with a content-length is answered with it', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /sized/abcdef') + request('GET /'))
  const response = await client.response()
  t.is(response.framing, 'length')
  t.is(response.text, 'abcdef')
  t.is((await client.response()).text, 'hello')
})

testServed('a stream that fails is never complete for the client', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /stream-error'))
  await t.throwsAsync(client.response(), { message: /ended before a whole response/ })
})

testServed('HEAD has the header of GET and no body', async (t, served) => {
  for (const path of ['/', '/json', '/cookies', '/sized/abcdef', '/stream/a/b']) {
    const client = await served.connect(t)
    client.send(request(`GET ${path}`) + request(`HEAD ${path}`) + request('GET /'))
    const get = await client.response()
    const head = await client.response('HEAD')
    t.is(head.status, get.status)
    t.deepEqual(comparable(head.lines), comparable(get.lines), path)
    t.is((await client.response()).text, 'hello')
  }
})

for (const status of [204, 304]) {
  testServed(`${status} has no body and no transfer-encoding`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request(`GET /status/${status}`) + request('GET /'))
    const response = await client.response()
    t.is(response.status, status)
    t.false(response.headers.has('transfer-encoding'))
    t.is((await client.response()).text, 'hello')
  })
}

for (const status of [200, 201, 202, 404, 500, 599]) {
  testServed(`${status} without a body says so with Content-Length: 0`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request(`GET /status/${status}`))
    const response = await client.response()
    t.is(response.status, status)
    t.is(response.headers.get('content-length'), '0')
  })
}

testServed('a method that is not on our list reaches the handler as it is', async (t, served) => {
  const client = await served.connect(t)
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'M-SEARCH', 'get']) {
    client.send(request(`${method} /method`))
    t.is((await client.response()).text, method)
  }
})

testServed('a body of exactly the announced length ends there', async (t, served) => {
  const client = await served.connect(t)
  client.send(post('/echo', 'abc') + post('/echo', 'def'))
  t.is((await client.response('POST')).text, 'abc')
  t.is((await client.response('POST')).text, 'def')
})

function encodeChunks(body: Buffer, size: number): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; at += size) {
    const piece = body.subarray(at, at + size)
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

/** Without what may differ: the time, and the framing of a body that is only known by making it (RFC 9110 section 9.3.2). */
function comparable(lines: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  return lines.filter(([name]) => name !== 'date' && name !== 'transfer-encoding')
}
