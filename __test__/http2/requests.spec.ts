/** Requests and answers of HTTP/2 with prior knowledge, through the client of Node. */
import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http2'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { openSession, post, request, responseOf } from '../support/http2-client.ts'
import { ask, next, startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/http2.mjs', import.meta.url))
const start = (t: ExecutionContext, config: Config = {}): Promise<Server> => startServer(t, { app, workers: 1, ...config })

test('a request is answered, and HTTP/1.1 is on the same port', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const answer = await request(session, '/')
  t.is(answer.text, 'worker 0')
  t.truthy(answer.headers.date)
  t.is(String((await ask(server, '/')).body), 'worker 0')
})

test('a handler sees what it sees of HTTP/1.1', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const { text } = await post(session, '/head?a=b', '', { 'x-one': 'é1', cookie: ['a=1', 'b=2'], ':authority': 'a.test:8', host: 'other' })
  const seen = JSON.parse(text) as { method: string; url: string; headers: [string, string][]; conn: number; family: number; remote: string; local: number }
  const { port } = new URL(server.port().url)
  const headers = new Map(seen.headers)
  t.is(seen.method, 'POST')
  t.is(seen.url, 'http://a.test:8/head?a=b')
  t.is(headers.get('cookie'), 'a=1; b=2')
  t.is(headers.get('host'), 'a.test:8')
  t.deepEqual([seen.family, seen.remote, seen.local], [4, '127.0.0.1', Number(port)])
  const again = JSON.parse((await request(session, '/head')).text) as typeof seen
  t.is(again.conn, seen.conn, 'both came on one connection')
})

test('a hundred streams at once are answered each with its own', async (t) => {
  const server = await start(t, { workers: 2 })
  const session = await openSession(t, server)
  const bodies = Array.from({ length: 100 }, (_, i) => `${i}:${'x'.repeat(i * 50)}`)
  const answers = await Promise.all(bodies.map((body) => post(session, '/echo', body)))
  t.deepEqual(answers.map(({ text }) => text), bodies)
  const { connections, rejected } = await server.stats()
  t.is(connections, 1, 'streams are no connections')
  t.true(Object.values(rejected).every((count) => count === 0))
})

for (const bytes of [1, 16_384, 16_385, 262_144, 262_145, 5_000_000]) {
  test(`a body of ${bytes} bytes comes back as it went, with and without its length`, async (t) => {
    const server = await start(t, { limits: { bodyBytes: 6_000_000 } })
    const session = await openSession(t, server)
    const body = Buffer.alloc(bytes, 'abcdefghijklmnopqrstuvwxyz0123456789')
    for (const path of ['/echo', '/mirror']) {
      for (const length of [{}, { 'content-length': bytes }] as OutgoingHttpHeaders[]) {
        const answer = await post(session, path, body, length)
        t.is(answer.status, 200)
        t.true(answer.body.equals(body), `${path} ${JSON.stringify(length)}`)
      }
    }
  })
}

test('an answer whose length nobody knows is ended by its stream', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const { text, headers } = await request(session, '/lines?count=5000')
  t.is(text.length, 80_000)
  t.is(headers['content-length'], undefined)
  t.is(headers['transfer-encoding'], undefined)
})

test('HEAD, 204 and 304 have no body, fields of connections do not travel', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const head = await request(session, '/big?bytes=1000', { ':method': 'HEAD' })
  t.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '1000', 0])
  const cookies = await request(session, '/cookies')
  t.is(cookies.status, 204)
  t.deepEqual(cookies.headers['set-cookie'], ['a=1', 'b=2'])
  t.is(cookies.headers.connection, undefined)
  t.is(cookies.headers['keep-alive'], undefined)
})

test('trailers of a request are accepted', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const stream = session.request({ ':path': '/echo', ':method': 'POST' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-check': 'sum' }))
  stream.end('with trailers')
  t.is((await responseOf(stream)).text, 'with trailers')
})

test('a client that expects 100 is told to go on when the body is read', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const stream = session.request({ ':path': '/echo', ':method': 'POST', expect: '100-continue', 'content-length': 5 })
  const answer = responseOf(stream)
  await once(stream, 'continue')
  stream.end('hello')
  t.is((await answer).text, 'hello')
})

test('a body that is not read does not keep the answer back', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const stream = session.request({ ':path': '/never-read', ':method': 'POST', 'content-length': 10_000_000 })
  stream.on('error', () => undefined)
  const head = once(stream, 'response')
  stream.write(Buffer.alloc(300_000))
  t.like((await head)[0], { ':status': 413 })
  stream.close()
  t.is((await request(session, '/')).status, 200, 'the connection lives')
})

test('flow control holds back a client whose body nobody reads', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const stream = session.request({ ':path': '/wait?id=flow', ':method': 'POST' })
  stream.on('error', () => undefined)
  const waits = next(server, 'message', (_from, message) => (message as { waits?: string }).waits === 'flow')
  const chunk = Buffer.alloc(65_536)
  let sent = 0
  const pump = (): void => {
    if (stream.destroyed || sent > 50) return
    sent++
    stream.write(chunk, pump)
  }
  pump()
  await waits
  // Another stream has its own window, and what the connection has left.
  for (let i = 0; i < 20; i++) t.is((await post(session, '/echo', 'x'.repeat(10_000))).body.length, 10_000)
  t.true(sent <= 8, `${sent} pieces of 64 KiB were taken`)
  stream.close()
})

test('a client that leaves aborts the signal of its request, the others go on', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const waits = (id: string) => next(server, 'message', (_from, message) => (message as { waits?: string }).waits === id)
  const both = Promise.all([waits('a'), waits('b')])
  const a = session.request({ ':path': '/wait?id=a' })
  a.on('error', () => undefined)
  const b = request(session, '/wait?id=b')
  await both
  const left = next(server, 'message', (_from, message) => (message as { left?: string }).left === 'a')
  a.close(8)
  await left
  await request(session, '/go?id=b')
  t.is((await b).text, 'went')
})

test('an answer that breaks resets its stream and no other', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const error = await t.throwsAsync(request(session, '/break'))
  t.regex(String(error), /INTERNAL_ERROR|code 2/)
  t.is((await request(session, '/')).status, 200)
})

test('limits answer as they do for HTTP/1.1', async (t) => {
  const server = await start(t, { limits: { headerFields: 10, targetBytes: 100, bodyBytes: 1000, headerBytes: 4096 } })
  const session = await openSession(t, server)
  const many = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`x-${i}`, 'y']))
  t.is((await request(session, '/', many)).status, 431)
  t.is((await request(session, `/${'x'.repeat(100)}`)).status, 414)
  t.is((await request(session, '/', { 'x-long': 'y'.repeat(4096) })).status, 431)
  t.is((await post(session, '/echo', 'x'.repeat(1001))).status, 413)
  t.is((await request(session, '/')).status, 200)
  const { rejected } = await server.stats()
  t.is(rejected.headerBytes, 2)
  t.is(rejected.targetBytes, 1)
})

test('http2: false leaves the preface to HTTP/1.1, which refuses it', async (t) => {
  const server = await start(t, { http2: false })
  const session = await openSession(t, server)
  await t.throwsAsync(request(session, '/'))
})
