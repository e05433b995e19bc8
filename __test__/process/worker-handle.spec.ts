import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'

import type { Notice } from '../../src-ts/native.ts'
import { systemClock } from '../../src-ts/process/clock.ts'
import type { Core, WorkerNotice } from '../../src-ts/process/core.ts'
import type { WorkerMessage } from '../../src-ts/process/messages.ts'
import { placeOf } from './fake-worker.ts'
import { ThreadHandle, UNREAD_MAX, type ThreadOptions } from '../../src-ts/process/worker-handle.ts'

const READY = `const { workerData } = await import('node:worker_threads'); const { port } = workerData; port.on('message', () => {}); port.postMessage({ type: 'ready' });`

/** A real thread that runs `source`, and a core of which the test gives the notices. */
async function start(t: ExecutionContext, source: string, options: Partial<ThreadOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-thread-'))
  const entry = join(folder, 'entry.mjs')
  await writeFile(entry, source)
  const wroteOff: number[] = []
  const wroteOffThreads: number[] = []
  const said: WorkerMessage[] = []
  let listen: ((notice: WorkerNotice) => void) | undefined
  const core: Pick<Core, 'createWorker' | 'writeOff' | 'writeOffThread'> = {
    createWorker: (listener) => {
      listen = listener
      return 5
    },
    writeOff: (slot) => void wroteOff.push(slot),
    writeOffThread: (thread) => void wroteOffThreads.push(thread),
  }
  const generation = { number: 1, app: 'file:///app.js', root: '/', version: undefined }
  const worker = new ThreadHandle({
    entry: pathToFileURL(entry),
    place: placeOf(3),
    boot: {
      server: 1, reason: 'start', generation: 1, app: generation.app, configFile: undefined, serverName: 'test',
      version: undefined, env: undefined, root: '/', codings: [], formFields: 1000, cronFiles: [], decodes: false, cpu: undefined, ports: [], tables: {}, board: new SharedArrayBuffer(8), processes: [],
      tasks: { files: [], queues: ['default'], isDurable: false },
    },
    generation,
    reason: 'start',
    resourceLimits: undefined,
    startTimeout: 20_000,
    core: core as Core,
    clock: systemClock,
    receive: (message) => said.push(message),
    ...options,
  })
  worker.ready.catch(() => undefined)
  t.teardown(async () => {
    worker.terminate()
    await worker.exited
    await rm(folder, { recursive: true })
  })
  const give = (notice: Extract<Notice, { slot: number }>): void => listen?.(notice)
  return { worker, give, wroteOff, wroteOffThreads, said }
}

const gone = { type: 'gone', slot: 5, inflight: 2, replayed: 1, refused: 1 } as const

test('a thread is ready when it says so', async (t) => {
  const { worker } = await start(t, READY)
  await t.notThrowsAsync(worker.ready)
  t.true(worker.isAlive)
  t.is(worker.slot, 5)
})

test('a thread that ends before it is ready has failed to start, and its slot is given back', async (t) => {
  const { worker, wroteOff } = await start(t, 'process.exit(4)')
  await t.throwsAsync(worker.ready, { code: 'ERR_SLUICE_WORKER_START', message: /exit code 4/ })
  await worker.exited
  t.deepEqual(wroteOff, [5])
})

test('a thread that is not ready in time has failed to start and is ended', async (t) => {
  const { worker } = await start(t, 'setInterval(() => {}, 1000)', { startTimeout: 50 })
  await t.throwsAsync(worker.ready, { code: 'ERR_SLUICE_WORKER_START', message: /50 ms/ })
  await worker.exited
  t.false(worker.isAlive)
})

test('an uncaught error is the reason of a death, with the hand-over that the core reports', async (t) => {
  const { worker, give } = await start(t, `${READY} setTimeout(() => { throw new RangeError('too far') }, 0)`)
  t.is(await worker.lost, 'dead')
  give(gone)
  t.like(await worker.death, { reason: 'throw', exitCode: 1, inflight: 2, replayed: 1, error: { message: 'too far' } })
})

test('an exit that nobody asked for is a death, with its code', async (t) => {
  const { worker, give } = await start(t, `${READY} process.exit(7)`)
  t.is(await worker.lost, 'dead')
  give(gone)
  t.like(await worker.death, { reason: 'exit', exitCode: 7, error: undefined })
})

test('an end that was asked for is no death', async (t) => {
  const { worker, give } = await start(t, READY)
  await worker.ready
  worker.stop(0)
  worker.terminate()
  await worker.exited
  give(gone)
  const sign = await Promise.race([worker.lost, new Promise((resolve) => setImmediate(resolve, 'none'))])
  t.is(sign, 'none')
})

test('a stuck thread is reported without waiting for its end', async (t) => {
  const { worker, give, wroteOffThreads } = await start(t, `${READY} for (;;);`)
  give({ type: 'stuck', slot: 5, ms: 100 })
  t.is(await worker.lost, 'stuck')
  t.deepEqual(wroteOffThreads, [worker.threadId], 'its locks pass on')
  give(gone)
  t.like(await worker.death, { reason: 'stuck', exitCode: -1, inflight: 2 })
  worker.terminate()
  await worker.exited
})

test('a stuck thread is ended even when the core has settled its work before the watchdog speaks', async (t) => {
  const { worker, give } = await start(t, `${READY} for (;;);`)
  give(gone)
  t.is(await worker.lost, 'dead')
  give({ type: 'stuck', slot: 5, ms: 100 })
  await worker.exited
  t.like(await worker.death, { reason: 'stuck' })
})

test('messages beyond the limit are refused until the worker has read some', async (t) => {
  const { worker } = await start(t, `const { workerData } = await import('node:worker_threads'); const { port } = workerData; port.on('message', (m) => { if (m.type === 'drain') port.postMessage({ type: 'read', count: 1 }) }); port.postMessage({ type: 'ready' })`)
  await worker.ready
  const message = { type: 'message', from: 'main', data: 0 } as const
  for (let count = 0; count < UNREAD_MAX; count += 1) worker.post(message)
  t.throws(() => worker.post(message), { code: 'ERR_SLUICE_INVALID_STATE' })
  t.throws(() => worker.post({ ...message, data: () => undefined }), { code: 'ERR_SLUICE_INVALID_STATE' })
})
