/** TCP has no messages: a request means the same wherever the network cuts it. */
import type { RawClient } from '../support/raw-client.ts'
import { post, request, testServed } from './served.ts'

interface Split {
  readonly name: string
  readonly bytes: string
  readonly method: string
  readonly text: string
}

const cases: readonly Split[] = [
  { name: 'GET', bytes: request('GET /', ['Accept: */*', 'X-Empty:']), method: 'GET', text: 'hello' },
  { name: 'GET behind an empty line', bytes: `\r\n${request('GET /')}`, method: 'GET', text: 'hello' },
  { name: 'HEAD', bytes: request('HEAD /'), method: 'HEAD', text: '' },
  { name: 'POST with Content-Length', bytes: post('/echo', 'a\r\n\r\nb'), method: 'POST', text: 'a\r\n\r\nb' },
  {
    name: 'POST with chunks',
    bytes: request('POST /echo', ['Transfer-Encoding: chunked'], '3;x=y\r\nabc\r\n2\r\n\r\n\r\n0\r\nT: 1\r\n\r\n'),
    method: 'POST',
    text: 'abc\r\n',
  },
  {
    name: 'POST with chunks to a streaming handler',
    bytes: request('POST /echo-stream', ['Transfer-Encoding: chunked'], '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'),
    method: 'POST',
    text: 'abcde',
  },
  { name: 'absolute-form', bytes: request('GET http://other.example/'), method: 'GET', text: 'hello' },
]

for (const { name, bytes, method, text } of cases) {
  testServed(`${name} is the same request split at every byte`, async (t, served) => {
    const witness = await served.connect(t)
    for (let at = 1; at < bytes.length; at++) {
      const client = await served.connect(t)
      client.send(bytes.slice(0, at))
      await seen(witness)
      client.send(bytes.slice(at))
      const response = await client.response(method)
      client.destroy()
      t.is(response.status, 200, `split at ${at}`)
      t.is(response.text, text, `split at ${at}`)
    }
  })

  testServed(`${name} is the same request sent byte by byte`, async (t, served) => {
    const client = await served.connect(t)
    const witness = await served.connect(t)
    for (const byte of bytes) {
      client.send(byte)
      await seen(witness)
    }
    const response = await client.response(method)
    t.is(response.status, 200)
    t.is(response.text, text)
  })
}

testServed('a pipeline is the same split at every byte', async (t, served) => {
  const client = await served.connect(t)
  const witness = await served.connect(t)
  const bytes = request('GET /stream/a') + post('/echo', 'b') + request('GET /stream/c')
  for (let at = 1; at < bytes.length; at++) {
    client.send(bytes.slice(0, at))
    await seen(witness)
    client.send(bytes.slice(at))
    for (const name of ['a', 'b', 'c']) t.is((await client.response()).text, name, `split at ${at}`)
  }
})

/**
 * Returns when the server has read what was sent before. There is one reactor, it had this connection's bytes first,
 * and it has answered a later request of another connection.
 */
async function seen(witness: RawClient): Promise<void> {
  witness.send(request('GET /'))
  await witness.response()
}
