/** HTTP/1.0 clients: no Host, no chunks, and a connection that ends unless they ask otherwise. */
import { testServed } from './served.ts'

testServed('HTTP/1.0 is answered and the connection ends', async (t, served) => {
  const client = await served.connect(t)
  client.send('GET / HTTP/1.0\r\n\r\n')
  const response = await client.response()
  t.is(response.status, 200)
  t.is(response.text, 'hello')
  t.is(response.framing, 'length')
  t.deepEqual(await client.ended(), { rest: Buffer.alloc(0), wasReset: false })
})

testServed('HTTP/1.0 with Connection: keep-alive goes on and is told so', async (t, served) => {
  const client = await served.connect(t)
  for (let i = 0; i < 2; i++) {
    client.send('GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n')
    const response = await client.response()
    t.is(response.text, 'hello')
    t.is(response.headers.get('connection'), 'keep-alive')
  }
  client.send('GET / HTTP/1.0\r\n\r\n')
  t.is((await client.response()).text, 'hello')
  t.is((await client.ended()).rest.length, 0)
})

for (const fields of ['', 'Connection: keep-alive\r\n']) {
  testServed(`a stream of unknown length ends with the connection for HTTP/1.0 (${fields.trim() || 'no Connection'})`, async (t, served) => {
    const client = await served.connect(t)
    client.send(`GET /stream/one/two HTTP/1.0\r\n${fields}\r\n`)
    const response = await client.response()
    t.is(response.framing, 'close')
    t.false(response.headers.has('transfer-encoding'))
    t.not(response.headers.get('connection'), 'keep-alive')
    t.is(response.text, 'onetwo')
  })
}

testServed('a stream that fails is reset for HTTP/1.0, so that it cannot look complete', async (t, served) => {
  const client = await served.connect(t)
  client.send('GET /stream-error HTTP/1.0\r\n\r\n')
  t.true((await client.ended()).wasReset)
})

testServed('POST over HTTP/1.0 with Content-Length works', async (t, served) => {
  const client = await served.connect(t)
  client.send('POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc')
  t.is((await client.response('POST')).text, 'abc')
})

testServed('the answer to HTTP/1.0 says HTTP/1.1, the version of the server', async (t, served) => {
  const client = await served.connect(t)
  client.send('HEAD / HTTP/1.0\r\n\r\n')
  // The raw client takes no other version in a status line.
  t.is((await client.response('HEAD')).status, 200)
})
