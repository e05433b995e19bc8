import test from 'ava'

import type { NativeServer, Notice } from '../../src-ts/native.ts'
import { Core, type WorkerNotice } from '../../src-ts/process/core.ts'

/** Hears nothing. */
const nobody = (): void => undefined

/** The master half of the addon: remembers what it was asked and gives the notices of the test. */
function fakeNative() {
  const calls: string[] = []
  const queue: Notice[] = []
  let wake = nobody
  let slot = 0
  const native: NativeServer = {
    startServer: () => 7,
    serverInfo: () => JSON.stringify({ ports: [{ name: 'main', host: '127.0.0.1', port: 4711 }, { name: 'main2', path: '/run/x' }], reactors: 1 }),
    acceptConnections: () => calls.push('accept'),
    renewCertificates: () => calls.push('renew'),
    attachMaster: (_server, onNotice) => {
      wake = onNotice
    },
    takeNotices: () => (queue.length === 0 ? null : JSON.stringify(queue.splice(0))),
    createWorker: () => slot,
    activateWorker: (_server, of, home) => calls.push(`activate ${of} as ${home}`),
    drainWorker: (_server, of) => calls.push(`drain ${of}`),
    lookUpOwner: () => [null, null],
    writeOffWorker: (_server, of) => {
      calls.push(`write off ${of}`)
      return true
    },
    writeOffThread: (thread) => calls.push(`write off thread ${thread}`),
    serverStats: () => JSON.stringify({ requestCount: 3, rejected: { headerBytes: 1 }, perWorker: [{ slot: 0, requests: 3, inflight: 1 }] }),
    stopServer: () => calls.push('stop'),
    finishTasks: () => calls.push('finish'),
    releaseServer: () => calls.push('release'),
    nameThread: () => undefined,
    pinThread: () => true,
    errorCodes: () => [],
  }
  return {
    native,
    calls,
    queue,
    give: (...notices: Notice[]) => {
      queue.push(...notices)
      wake()
    },
    nextSlot: (next: number) => {
      slot = next
    },
  }
}

const gone: WorkerNotice = { type: 'gone', slot: 0, inflight: 2, replayed: 1, refused: 1 }

test('every notice reaches the worker it is about', (t) => {
  const { native, give, nextSlot } = fakeNative()
  const core = new Core(native, '{}', nobody)
  const heard: string[] = []
  core.createWorker((notice) => heard.push(`first ${notice.type}`))
  nextSlot(1)
  core.createWorker((notice) => heard.push(`second ${notice.type}`))
  give({ type: 'drained', slot: 1 }, gone)
  t.deepEqual(heard, ['second drained', 'first gone'])
})

test('a slot that is given out again before its old `gone` was read does not confuse its holders', (t) => {
  const { native, give } = fakeNative()
  const core = new Core(native, '{}', nobody)
  const heard: string[] = []
  core.createWorker((notice) => heard.push(`old ${notice.type}`))
  core.createWorker((notice) => heard.push(`new ${notice.type}`))
  give(gone)
  give({ type: 'drained', slot: 0 })
  t.deepEqual(heard, ['old gone', 'new drained'])
})

test('writeOff() spares the next holder of a slot', (t) => {
  const { native, calls, queue } = fakeNative()
  const core = new Core(native, '{}', nobody)
  const heard: WorkerNotice[] = []
  const old = (notice: WorkerNotice): void => void heard.push(notice)
  const slot = core.createWorker(old)
  queue.push(gone)
  core.createWorker(() => undefined)
  core.writeOff(slot, old)
  t.deepEqual(heard, [gone])
  t.deepEqual(calls, [])
})

test('writeOff() takes a thread out that the core has not missed', (t) => {
  const { native, calls } = fakeNative()
  const core = new Core(native, '{}', nobody)
  core.writeOff(core.createWorker(nobody), nobody)
  t.deepEqual(calls, ['write off 0'])
})

test('stop() asks once and settles with the `stopped` notice', async (t) => {
  const { native, calls, give } = fakeNative()
  const core = new Core(native, '{}', nobody)
  const stopped = Promise.all([core.stop(0), core.stop(0)])
  give({ type: 'stopped' })
  await stopped
  t.deepEqual(calls, ['stop'])
})

test('release() happens once, keeps the last figures, and silences everything after it', async (t) => {
  const { native, calls } = fakeNative()
  const core = new Core(native, '{}', nobody)
  const stopped = core.stop(0)
  core.release()
  core.release()
  await stopped
  core.drain(0)
  core.writeOff(0, () => undefined)
  t.deepEqual(calls, ['stop', 'release'])
  t.deepEqual(core.stats(), { counters: { requestCount: 3 }, rejected: { headerBytes: 1 }, workers: [{ slot: 0, requests: 3, inflight: 1 }] })
})

test('ports() gives addresses and paths', (t) => {
  const core = new Core(fakeNative().native, '{}', nobody)
  t.deepEqual(core.ports(), [
    { name: 'main', protocol: 'http', host: '127.0.0.1', port: 4711, path: undefined, error: undefined, tls: false, proxy: undefined, bodyBytes: 0 },
    { name: 'main2', protocol: 'http', host: undefined, port: undefined, path: '/run/x', error: undefined, tls: false, proxy: undefined, bodyBytes: 0 },
  ])
})

test('a port that is lost is told', (t) => {
  const { native, give } = fakeNative()
  const errors: Error[] = []
  const core = new Core(native, '{}', (error) => errors.push(error))
  t.is(core.server, 7)
  give({ type: 'failed', message: 'Bad file descriptor' })
  t.like(errors, [{ code: 'ERR_SLUICE_LISTEN', message: 'A port accepts nothing any more: Bad file descriptor' }])
})
