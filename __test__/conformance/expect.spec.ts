/** RFC 9110 section 10.1.1: a client that asks before it sends its body. */
import { request, testServed } from './served.ts'

/** Below and above the size up to which a body is collected before its request is handed to a worker. */
const sizes = [5, 300 * 1024]

for (const size of sizes) {
  for (const path of ['/echo', '/echo-stream']) {
    testServed(`POST ${path} with Expect gets 100 when the handler reads, then its answer (${size} bytes)`, async (t, served) => {
      const client = await served.connect(t)
      client.send(request(`POST ${path}`, ['Expect: 100-continue', `Content-Length: ${size}`]))
      const interim = await client.response('POST')
      t.is(interim.status, 100)
      t.deepEqual(interim.lines, [])
      const body = Buffer.alloc(size, 'x')
      client.send(body)
      const response = await client.response('POST')
      t.is(response.status, 200)
      t.true(response.body.equals(body))
    })
  }

  testServed(`100 never comes inside an answer that has begun (${size} bytes)`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request('POST /late-read', ['Expect: 100-continue', `Content-Length: ${size}`]))
    await client.arrived(1)
    client.send(Buffer.alloc(size, 'x'))
    const first = await client.response('POST')
    const response = first.status === 100 ? await client.response('POST') : first
    t.is(response.text, `begun ${'x'.repeat(size)}`)
  })

  testServed(`a handler that does not read the body answers without 100 (${size} bytes)`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request('POST /ignore-body', ['Expect: 100-continue', `Content-Length: ${size}`]))
    const response = await client.response('POST')
    t.is(response.status, 200)
    t.is(response.text, 'ignored')
    // The client may now send the body or not, which nobody can tell from a next request: the connection has to end.
    t.is(response.headers.get('connection'), 'close')
    t.is((await client.ended()).rest.length, 0)
  })
}

testServed('Expect: 100-Continue is read in any case and for chunked bodies', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('POST /echo', ['Expect: 100-CONTINUE', 'Transfer-Encoding: chunked']))
  t.is((await client.response('POST')).status, 100)
  client.send('3\r\nabc\r\n0\r\n\r\n')
  t.is((await client.response('POST')).text, 'abc')
})

testServed('a client that does not wait gets its answer, with or without 100', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('POST /echo', ['Expect: 100-continue', 'Content-Length: 3'], 'abc'))
  const first = await client.response('POST')
  const response = first.status === 100 ? await client.response('POST') : first
  t.is(response.text, 'abc')
})

testServed('100 is not sent to a request without a body', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('POST /echo', ['Expect: 100-continue', 'Content-Length: 0']))
  t.is((await client.response('POST')).status, 200)
})

testServed('100 is not sent to HTTP/1.0', async (t, served) => {
  const client = await served.connect(t)
  client.send('POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc')
  const response = await client.response('POST')
  t.is(response.status, 200)
  t.is(response.text, 'abc')
})

testServed('another expectation is refused with 417', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('POST /echo', ['Expect: the-unexpected', 'Content-Length: 3'], 'abc'))
  t.is((await client.response('POST')).status, 417)
  t.is((await client.ended()).rest.length, 0)
})
