/** Connections of HTTP/2 while workers come and go, and when the server stops. */
import { once } from 'node:events'
import { connect } from 'node:http2'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { openSession, request, responseOf } from '../support/http2-client.ts'
import { next, startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/http2.mjs', import.meta.url))
const start = (t: ExecutionContext, config: Config = {}): Promise<Server> => startServer(t, { app, workers: 2, ...config })

/** Keeps `streams` requests in flight until stopped; resolves to how many were answered with 200, and what else came. */
function load(session: Awaited<ReturnType<typeof openSession>>, streams: number): () => Promise<{ ok: number; other: unknown[] }> {
  const on = new AbortController()
  let ok = 0
  const other: unknown[] = []
  const run = async (): Promise<void> => {
    while (!on.signal.aborted) {
      try {
        const { status } = await request(session, '/')
        if (status === 200) ok++
        else other.push(status)
      } catch (error) {
        other.push(error)
        return
      }
    }
  }
  const all = Promise.all(Array.from({ length: streams }, run))
  return async () => {
    on.abort()
    await all
    return { ok, other }
  }
}

test('a reload fails no request of a connection in use', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const stop = load(session, 20)
  for (let i = 0; i < 3; i++) t.true((await server.reload()).ok)
  const { ok, other } = await stop()
  t.deepEqual(other, [])
  t.true(ok > 100, `${ok}`)
  t.false(session.closed)
})

test('requests of a worker that dies are replayed, streams of the connection go on', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const stop = load(session, 20)
  for (let i = 0; i < 3; i++) {
    const back = next(server, 'workerStart')
    const died = await request(session, '/die', { ':method': 'POST' })
    t.is(died.status, 503)
    await back
  }
  const { ok, other } = await stop()
  t.deepEqual(other, [], 'safe requests that were not running are replayed')
  t.true(ok > 20)
})

test('event streams are served beside each other on one connection, and survive a reload', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const streams = [0, 1, 2].map(() => {
    const stream = session.request({ ':path': '/events' })
    stream.setEncoding('utf8')
    return stream
  })
  const heads = (await Promise.all(streams.map((stream) => once(stream, 'response')))) as [Record<string, unknown>][]
  for (const [head] of heads) t.is(head['content-type'], 'text/event-stream')
  const heard = async (text: string): Promise<void> => {
    const all = streams.map((stream) => {
      let got = ''
      return new Promise<void>((resolve) =>
        stream.on('data', (chunk: string) => {
          got += chunk
          if (got.includes(`data: ${text}\n`)) resolve()
        }),
      )
    })
    t.is((await request(session, `/publish?text=${text}`)).text, '3')
    await Promise.all(all)
  }
  await heard('one')
  t.true((await server.reload()).ok)
  await heard('two')
  streams[0]!.close(8)
  t.is((await server.stats()).connections, 1)
})

test('a stop says GOAWAY, answers what it has and closes', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const waits = next(server, 'message', (_from, message) => (message as { waits?: string }).waits === 'stop')
  const answer = request(session, '/until-stop')
  await waits
  const goaway = once(session, 'goaway')
  const closed = once(session, 'close')
  const stopped = server.shutdown({ timeout: 10_000 })
  t.is((await goaway)[0], 0)
  t.is((await answer).text, 'stopping')
  await stopped
  await closed
})

test('an idle connection is told to go after keepAliveTimeout', async (t) => {
  const server = await start(t, { limits: { keepAliveTimeout: 2000 } })
  const session = connect(server.port().url)
  t.teardown(() => session.destroy())
  const closed = once(session, 'close')
  const [code] = (await once(session, 'goaway')) as [number]
  t.is(code, 0)
  await closed
  t.is((await server.stats()).rejected.keepAliveTimeout, 1)
})

test('a stream that nobody reads is reset after sendTimeout, the connection lives', async (t) => {
  const server = await start(t, { limits: { sendTimeout: 200, sendBuffer: 65_536 } })
  const session = await openSession(t, server)
  const stream = session.request({ ':path': '/lines?count=200000' })
  stream.on('response', () => stream.pause())
  const closed = new Promise<number>((resolve) => {
    stream.on('error', () => resolve(stream.rstCode))
    stream.on('close', () => resolve(stream.rstCode))
  })
  t.not(await closed, 0)
  t.is((await request(session, '/')).status, 200)
  t.is((await server.stats()).rejected.sendTimeout, 1)
})

test('one stream that is not read does not hold up the others', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const slow = session.request({ ':path': '/lines?count=100000' })
  const answer = responseOf(slow)
  slow.pause()
  for (let i = 0; i < 5; i++) t.is((await request(session, '/big?bytes=100000')).body.length, 100_000)
  slow.resume()
  t.is((await answer).body.length, 1_600_000)
})
