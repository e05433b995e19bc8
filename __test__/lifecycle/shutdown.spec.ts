import { setImmediate } from 'node:timers/promises'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'ava'

import { RawClient } from '../support/raw-client.ts'
import { ask, next, portOf, startServer } from '../support/server.ts'

const hooks = new URL('../fixtures/hooks.mjs', import.meta.url)
const mortal = new URL('../fixtures/mortal.mjs', import.meta.url)

test('shutdown() lets the request in hand finish, closes its connection after it, and accepts no new one', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2 })
  const port = portOf(server)
  const client = await RawClient.connect(port)
  t.teardown(() => client.destroy())
  client.send('GET /slow HTTP/1.1\r\nHost: test\r\n\r\n')
  // `/slow` is answered when the worker is told to go. Reactors do not wait for each other: it must be in before that.
  while (server.stats().concurrency === 0) await setImmediate()
  const stopped = server.shutdown()
  const { status, headers } = await client.response()
  t.is(status, 200)
  t.is(headers.get('connection'), 'close')
  t.false((await client.ended()).wasReset)
  await stopped
  await t.throwsAsync(once(connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
})

test('shutdown() closes idle connections without a reset', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  await client.response()
  await server.shutdown()
  t.like(await client.ended(), { wasReset: false })
})

test('the order is beforeShutdown, workerExit, workerStop, serverStop', async (t) => {
  const order: string[] = []
  const server = await startServer(t, {
    app: hooks,
    workers: 1,
    lifecycle: {
      beforeShutdown: ({ signal }) => void order.push(`beforeShutdown ${signal.aborted}`),
      serverStop: () => void order.push('serverStop'),
      message: (_from, data) => void order.push(String(data)),
    },
  })
  order.length = 0
  await server.shutdown()
  t.deepEqual(order.filter((line) => !/loaded|workerStart/.test(line)), ['beforeShutdown false', 'workerExit 0 true true', 'workerStop 0', 'serverStop'])
  t.true(server.signal.aborted)
})

test('shutdown() may be called again, and all calls settle together', async (t) => {
  let stops = 0
  const server = await startServer(t, { app: hooks, workers: 1, lifecycle: { serverStop: () => void (stops += 1) } })
  await Promise.all([server.shutdown(), server.shutdown(), server[Symbol.asyncDispose]()])
  await server.shutdown()
  t.is(stops, 1)
})

test('shutdown() cuts off what is left when its time is over', async (t) => {
  const server = await startServer(t, { app: mortal, workers: 1 })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET /never HTTP/1.1\r\nHost: test\r\n\r\n')
  await ask(server, '/')
  const start = performance.now()
  await server.shutdown({ timeout: 200 })
  const ms = performance.now() - start
  t.true(ms >= 200 && ms < 5_000, `${ms} ms`)
  await client.ended()
})

test('a second shutdown() with less time shortens the first', async (t) => {
  const server = await startServer(t, { app: mortal, workers: 1, maxWaitTime: 60_000 })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET /never HTTP/1.1\r\nHost: test\r\n\r\n')
  await ask(server, '/')
  const first = server.shutdown()
  const start = performance.now()
  await server.shutdown({ timeout: 0 })
  await first
  t.true(performance.now() - start < 5_000)
})

test('shutdown() is not kept by a worker that hangs', async (t) => {
  const server = await startServer(t, { app: mortal, workers: 1, stuckAfter: false })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('POST /die/loop HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n')
  client.send('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  const start = performance.now()
  await server.shutdown({ timeout: 100 })
  t.true(performance.now() - start < 5_000)
})

test('after shutdown() the last figures remain, and nothing else can be asked', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  await ask(server, '/')
  const stopping = server.shutdown()
  await t.throwsAsync(server.reload(), { code: 'ERR_SLUICE_SHUTTING_DOWN' })
  await t.throwsAsync(server.stopWorker(0), { code: 'ERR_SLUICE_SHUTTING_DOWN' })
  await stopping
  t.is(server.stats().requestCount, 1)
  t.like(server.health(), { ready: false, reason: 'The server is stopping' })
})

test('a worker can stop the server in a request and still answer it', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2 })
  const stopped = next(server, 'serverStop')
  t.is((await ask(server, '/shutdown')).status, 200)
  await stopped
  t.pass()
})
