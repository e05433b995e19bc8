import test from 'ava'
import type { DeathReason } from 'sluice'

import { Load } from '../support/load.ts'
import { RawClient } from '../support/raw-client.ts'
import { answering, AppFolder, ask, next, portOf, startServer } from '../support/server.ts'

// One after the other: each test loads the machine as much as it can, and measures.
const { serial } = test
const mortal = new URL('../fixtures/mortal.mjs', import.meta.url)

interface Kind {
  readonly way: string
  readonly reason: DeathReason
  readonly exitCode: number
  readonly error: RegExp | undefined
  /** Short where the watchdog has to find out; else a full heap, which is slow, would count as stuck. */
  readonly stuckAfter?: number
}

const kinds: Kind[] = [
  { way: 'throw', reason: 'throw', exitCode: 1, error: /thrown in a timer/ },
  { way: 'reject', reason: 'reject', exitCode: 1, error: /rejected without a handler/ },
  { way: 'exit', reason: 'exit', exitCode: 7, error: undefined },
  // Since Node.js 22 V8 may abort the whole process before Node can end the thread, and with it the test runner.
  ...(Number(process.versions.node.split('.')[0]) < 22 ? ([{ way: 'oom', reason: 'oom', exitCode: 1, error: /memory/ }] satisfies Kind[]) : []),
  { way: 'loop', reason: 'stuck', exitCode: -1, error: undefined, stuckAfter: 500 },
  { way: 'wait', reason: 'stuck', exitCode: -1, error: undefined, stuckAfter: 500 },
]

for (const { way, reason, exitCode, error, stuckAfter = 30_000 } of kinds) {
  serial(`a worker that dies by ${way}: no connection is reset, every other request is answered, and it is replaced`, async (t) => {
    const server = await startServer(t, { app: mortal, workers: 2, stuckAfter, resourceLimits: { maxOldGenerationSizeMb: 48 } })
    const load = await Load.start({ port: portOf(server) })
    await load.more(20)
    const death = next(server, 'workerError')
    const successor = next(server, 'workerStart', (worker) => worker.reason === 'crash' || worker.reason === 'stuck')
    const killer = await ask(server, `/die/${way}`, 'POST')
    t.true(killer.status === 200 || (killer.status === 503 && killer.headers.has('retry-after')), `the deadly request got ${killer.status}`)
    const [event] = await death
    const [{ id }] = await successor
    t.like(event, { reason, exitCode })
    t.is(event.worker.id, id)
    if (error) t.regex(String(event.error?.message), error)
    else t.is(event.error, undefined)
    t.true(event.replayed <= event.inflight)
    await load.more(50)
    const { statuses, failures, longest } = await load.stop()
    t.log(`${statuses.get(200)} answers, the slowest took ${longest.toFixed(1)} ms; in hand ${event.inflight}, replayed ${event.replayed}`)
    t.deepEqual(failures, [])
    t.deepEqual([...statuses.keys()], [200], 'GET without a started answer is replayed')
    t.like(server.stats(), { crashes: 1, workers: 2 })
  })
}

serial('a request that is not safe is answered with 503 and Retry-After when its worker dies, and is not run again', async (t) => {
  const server = await startServer(t, { app: mortal, workers: 1 })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('POST /never HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n')
  // Answered after it: the only worker has `/never` in its hands.
  await ask(server, '/')
  const death = next(server, 'workerError')
  await ask(server, '/die/throw', 'POST')
  const { status, headers } = await client.response('POST')
  t.is(status, 503)
  t.true(headers.has('retry-after'))
  t.like((await death)[0], { replayed: 0 })
  client.send('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  t.is((await client.response()).status, 200, 'the connection goes on')
})

serial('the record that killed a worker is never replayed, even of a safe method', async (t) => {
  const server = await startServer(t, { app: mortal, workers: 2, stuckAfter: 500 })
  const deaths: string[] = []
  server.on('workerError', ({ reason }) => void deaths.push(reason))
  const death = next(server, 'workerError')
  t.is((await ask(server, '/die/loop')).status, 503)
  await death
  for (let round = 0; round < 20; round += 1) t.is((await ask(server, '/')).status, 200)
  t.deepEqual(deaths, ['stuck'])
})

serial('a throw in a handler is a 500, and the worker lives', async (t) => {
  const server = await startServer(t, { app: mortal, workers: 1 })
  const error = next(server, 'error')
  t.is((await ask(server, '/throw')).status, 500)
  const [{ message, stack }, source] = await error
  t.is(message, 'thrown in a handler')
  t.regex(String(stack), /mortal\.mjs/)
  t.deepEqual(source, { phase: 'fetch', worker: 0 })
  t.is((await ask(server, '/')).text, '0')
  t.like(server.stats(), { crashes: 0 })
})

serial('code that fails to start after a crash is tried again until it starts', async (t) => {
  const folder = await AppFolder.create(t)
  const dying = `export default { fetch: (req) => { if (req.method === 'POST') setTimeout(() => { throw new Error('die') }, 0); return new Response('first') } }`
  const app = await folder.write(dying)
  const server = await startServer(t, { app, workers: 1 })
  await folder.write('not even JavaScript')
  const failed = next(server, 'workerError', ({ reason }) => reason === 'start-failed')
  await ask(server, '/', 'POST')
  const [{ error }] = await failed
  t.is((error as { code?: string }).code, 'ERR_SLUICE_WORKER_START')
  t.like(server.health(), { ready: false, reason: 'No worker is ready' })
  await folder.write(answering('mended'))
  t.is((await ask(server, '/')).text, 'mended', 'the request waits for the worker')
})
