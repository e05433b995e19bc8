import test from 'ava'

import { Load } from '../support/load.ts'
import { RawClient } from '../support/raw-client.ts'
import { answering, AppFolder, ask, next, portOf, startServer } from '../support/server.ts'

// One after the other: each test loads the machine as much as it can, and measures.
const { serial } = test
const hooks = new URL('../fixtures/hooks.mjs', import.meta.url)

serial('a reload under load: the new code serves, no request fails, no connection is closed', async (t) => {
  const folder = await AppFolder.create(t)
  const app = await folder.write(answering('one'))
  const server = await startServer(t, { app, workers: 2 })
  const load = await Load.start({ port: portOf(server), connections: 8 })
  await load.more(100)
  for (const text of ['two', 'three', 'four']) {
    await folder.write(answering(text))
    t.deepEqual(await server.reload(), { ok: true, rolledBack: false })
    t.is((await ask(server, '/')).text, text, 'settles when the new code serves')
    await load.more(100)
  }
  const { statuses, bodies, failures, longest } = await load.stop()
  t.log(`${statuses.get(200)} answers, the slowest took ${longest.toFixed(1)} ms`)
  t.deepEqual(failures, [])
  t.deepEqual([...statuses.keys()], [200])
  t.deepEqual([...bodies.keys()].sort(), ['four', 'one', 'three', 'two'])
  t.is(server.stats().reloads, 3)
})

const broken: [what: string, source: string, message: RegExp][] = [
  ['throws at import', `throw new Error('cannot load')`, /cannot load/],
  ['rejects in workerStart', `import { server } from '${import.meta.resolve('sluice')}'\nserver.on('workerStart', async () => { throw new Error('no database') })\n${answering('broken')}`, /no database/],
]

for (const [what, source, message] of broken) {
  serial(`a reload with code that ${what} fails, and the old code goes on without a failed request`, async (t) => {
    const folder = await AppFolder.create(t)
    const app = await folder.write(answering('old'))
    const server = await startServer(t, { app, workers: 2 })
    const load = await Load.start({ port: portOf(server) })
    await load.more(50)
    await folder.write(source)
    const after = next(server, 'afterReload')
    const { ok, rolledBack, error } = await server.reload()
    t.deepEqual([ok, rolledBack, error?.message.match(message)?.[0] !== undefined], [false, false, true], error?.message)
    t.like((await after)[0], { ok: false, rolledBack: false })
    await load.more(50)
    const { statuses, bodies, failures } = await load.stop()
    t.deepEqual(failures, [])
    t.deepEqual([...statuses.keys()], [200])
    t.deepEqual([...bodies.keys()], ['old'])
    t.like(server.stats(), { reloads: 0, crashes: 0, workers: 2 })
    await folder.write(answering('mended'))
    t.true((await server.reload()).ok)
    t.is((await ask(server, '/')).text, 'mended')
  })
}

serial('an old worker finishes the request it has, after its signal was aborted and before it stops', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  const order: string[] = []
  server.on('message', (_from, data) => void order.push(String(data)))
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET /slow HTTP/1.1\r\nHost: test\r\n\r\n')
  // The request is in the worker's hands when a later one was answered.
  await ask(server, '/')
  const stopped = next(server, 'message', (_from, data) => data === 'workerStop 0')
  const after = next(server, 'afterReload')
  t.true((await server.reload({ version: 'v2' })).ok)
  t.is(server.version, 'v2')
  const slow = JSON.parse((await client.response()).text)
  t.is(slow.version, undefined, 'by the old code')
  await stopped
  t.like((await after)[0], { ok: true, rolledBack: false })
  client.send('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  t.like(JSON.parse((await client.response()).text), { version: 'v2', env: 'v2' }, 'on the same connection')
  t.deepEqual(order.slice(2), ['loaded', 'workerStart 0 reload', 'workerExit 0 true true', 'workerStop 0'].slice(-order.slice(2).length))
})

serial('a worker that does not finish is cut off after `maxWaitTime`; its client gets an answer', async (t) => {
  const folder = await AppFolder.create(t)
  const app = await folder.write(`export default { fetch: (req) => req.url.endsWith('/never') ? new Promise(() => {}) : new Response('ok') }`)
  const server = await startServer(t, { app, workers: 1, maxWaitTime: 300, onWorkerCrash: { replay: 'none' } })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET /never HTTP/1.1\r\nHost: test\r\n\r\n')
  await ask(server, '/')
  const after = next(server, 'afterReload')
  t.true((await server.reload()).ok)
  t.true((await client.response()).status >= 500)
  const [{ ms }] = await after
  t.true(ms >= 300 && ms < 5_000, `${ms} ms`)
})

serial('a symbolic link in `root` is followed anew by a reload, and a crash loop goes back to the release before', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.release('1', answering('release 1'))
  const server = await startServer(t, { root: folder.current, app: 'app.mjs', workers: 1, reload: { rollback: { errors: 2, within: 60_000 } } })
  const load = await Load.start({ port: portOf(server) })
  await load.body('release 1')
  await folder.release('2', `setTimeout(() => { throw new Error('bad release') }, 50)\n${answering('release 2')}`)
  const condemned = next(server, 'afterReload', ({ rolledBack }) => rolledBack)
  t.true((await server.reload({ version: 'two' })).ok)
  await load.body('release 2')
  t.like((await condemned)[0], { ok: false, rolledBack: true })
  t.is((await ask(server, '/')).text, 'release 1')
  t.is(server.version, undefined)
  const { statuses, failures } = await load.stop()
  t.deepEqual(failures, [])
  t.deepEqual([...statuses.keys()], [200])
})

serial('reloads that are asked for while one runs become one', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  const results = await Promise.all([server.reload({ version: 'a' }), server.reload({ version: 'b' }), server.reload({ version: 'c' })])
  t.true(results.every(({ ok }) => ok))
  t.is(server.version, 'c')
  t.is(server.stats().reloads, 2)
})

serial('beforeReload can refuse', async (t) => {
  const server = await startServer(t, {
    app: hooks,
    workers: 1,
    lifecycle: {
      beforeReload: ({ version }) => {
        throw new Error(`not ${version}`)
      },
    },
  })
  t.like(await server.reload({ version: 'v2' }), { ok: false, error: { message: 'not v2' } })
  t.is(server.version, undefined)
})

serial('a worker can ask for a reload in a request and still answer it', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2 })
  t.deepEqual(JSON.parse((await ask(server, '/reload')).text), { ok: true, rolledBack: false })
  t.is(JSON.parse((await ask(server, '/')).text).version, 'from-worker')
})

serial('stopWorker() replaces one worker under load without a failed request', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2 })
  const load = await Load.start({ port: portOf(server) })
  await load.more(20)
  const replaced = next(server, 'workerStart', ({ id, reason }) => id === 1 && reason === 'recycle')
  await server.stopWorker(1)
  await replaced
  await load.more(20)
  const { failures, statuses } = await load.stop()
  t.deepEqual(failures, [])
  t.deepEqual([...statuses.keys()], [200])
  await t.throwsAsync(server.stopWorker(2), { code: 'ERR_SLUICE_INVALID_ARG' })
})

serial('a worker is recycled after its requests, under load and without a failed one', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2, recycle: { requests: 50, grace: 10 } })
  const recycled = next(server, 'workerStart', ({ reason }) => reason === 'recycle')
  const load = await Load.start({ port: portOf(server) })
  await recycled
  await load.more(50)
  const { failures, statuses } = await load.stop()
  t.deepEqual(failures, [])
  t.deepEqual([...statuses.keys()], [200])
})
