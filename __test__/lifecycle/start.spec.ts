import { connect } from 'node:net'
import { once } from 'node:events'
import test from 'ava'
import { createServer, serve } from 'sluice'

import { answering, AppFolder, ask, next, portOf, startServer } from '../support/server.ts'

const hooks = new URL('../fixtures/hooks.mjs', import.meta.url)

test('createServer() settles when all workers serve', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2, version: 'v1', name: 'starter' })
  const answer = JSON.parse((await ask(server, '/')).text)
  t.like(answer, { version: 'v1', env: 'v1', workers: 2 })
  t.is(server.url, `http://127.0.0.1:${portOf(server)}`)
  t.deepEqual(server.ports, [server.port('main')])
  t.throws(() => server.port('other'), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.like(server, { name: 'starter', version: 'v1', worker: undefined })
  const stats = server.stats()
  t.like(stats, { workers: 2, reloads: 0, crashes: 0 })
  t.deepEqual(stats.perWorker.map(({ id }) => id), [0, 1])
  t.true(stats.perWorker.every(({ heapUsed, uptime, version }) => heapUsed > 0 && uptime >= 0 && version === 'v1'))
  const health = server.health()
  t.true(health.live && health.ready)
  t.deepEqual(health.workers.map(({ id, name, status }) => [id, name, status]), [
    [0, 'sluice-w0', 'idle'],
    [1, 'sluice-w1', 'idle'],
  ])
})

test('serve() with a module is the same', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await serve({ app: await folder.write(answering('module')), port: 0, host: '127.0.0.1', workers: 1, stateDir: false })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  t.is((await ask(server, '/')).text, 'module')
})

test('the order is serverStart, loading, workerStart, listening', async (t) => {
  const order: string[] = []
  const server = await startServer(t, {
    app: hooks,
    workers: 1,
    lifecycle: {
      serverStart: [({ ports, stats }) => void order.push(`serverStart ${ports.length} ${typeof stats}`), () => void order.push('serverStart again')],
      listening: () => void order.push('listening'),
      message: (_from, data) => void order.push(String(data)),
    },
  })
  // Messages of the worker are on their way; the answer to this one is behind them.
  const pong = next(server, 'message', (_from, data) => String(data).startsWith('pong'))
  server.postMessage(0, 'ping')
  await pong
  const [first, second, ...rest] = order
  t.deepEqual([first, second], ['serverStart 1 function', 'serverStart again'])
  t.deepEqual(rest.filter((line) => line !== 'listening'), ['loaded', 'workerStart 0 start', 'pong from 0'])
  t.is(rest.filter((line) => line === 'listening').length, 1)
})

test('a serverStart handler that fails fails the start, and the port is free again', async (t) => {
  let port = 0
  const start = createServer({
    app: hooks,
    listen: { port: 0 },
    workers: 1,
    lifecycle: {
      serverStart: (server) => {
        port = portOf(server)
        throw new Error('not today')
      },
    },
  })
  await t.throwsAsync(start, { message: 'not today' })
  await t.throwsAsync(once(connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
})

const broken: [title: string, source: string, cause: RegExp][] = [
  ['throws at import', `throw new TypeError('broken at import')`, /broken at import/],
  ['does not parse', `export default {`, /Unexpected end of input/],
  ['exports no app', `export default 42`, /app/],
  ['ends its thread', `process.exit(3)`, /exit code 3/],
  ['rejects in workerStart', `import { server } from '${import.meta.resolve('sluice')}'\nserver.on('workerStart', async () => { throw new Error('no database') })\nexport default () => new Response()`, /no database/],
  ['throws in a timer while it loads', `setTimeout(() => { throw new Error('early timer') }, 0)\nawait new Promise(() => {})`, /early timer/],
]

for (const [title, source, cause] of broken) {
  test(`an application that ${title} fails the start with what went wrong`, async (t) => {
    const folder = await AppFolder.create(t)
    const app = await folder.write(source)
    const error = await t.throwsAsync(createServer({ app, listen: { port: 0 }, workers: 2, stateDir: false }), { code: 'ERR_SLUICE_WORKER_START' })
    t.regex(String(error?.message), cause)
    t.true(error?.cause instanceof Error && cause.test(error.cause.message))
  })
}

test('an application that is not ready in time fails the start', async (t) => {
  const folder = await AppFolder.create(t)
  const app = await folder.write('await new Promise(() => {})')
  const start = createServer({ app, listen: { port: 0 }, workers: 1, stateDir: false, reload: { startTimeout: 300 } })
  await t.throwsAsync(start, { code: 'ERR_SLUICE_WORKER_START', message: /300 ms \(reload\.startTimeout\)/ })
})

test('an application that is not there, or not named, is an error that says so', async (t) => {
  await t.throwsAsync(createServer({ app: '/nowhere/app.js', listen: { port: 0 } }), { code: 'ERR_SLUICE_WORKER_START', message: /\/nowhere\/app\.js/ })
  await t.throwsAsync(createServer({ listen: { port: 0 } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /`app`/ })
})

test('an address in use is an error that names it', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  const port = portOf(server)
  await t.throwsAsync(createServer({ app: hooks, listen: { port }, workers: 1 }), { code: 'ERR_SLUICE_LISTEN', message: new RegExp(String(port)) })
})

test('functions that would have to run in workers are refused where they cannot get there', async (t) => {
  const config = { app: hooks, listen: { port: 0 }, workers: 1 }
  await t.throwsAsync(createServer({ ...config, lifecycle: { workerStart: () => undefined } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /lifecycle\.workerStart/ })
  await t.throwsAsync(createServer({ ...config, cleaners: [() => undefined] }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /cleaners/ })
})
