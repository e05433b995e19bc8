import test from 'ava'

import type { DeathReason } from '../../src-ts/process/api.ts'
import type { Generation } from '../../src-ts/process/generation.ts'
import type { Usage } from '../../src-ts/process/recycle.ts'
import { Supervisor, type SupervisorOptions } from '../../src-ts/process/supervisor.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { FakeWorker, placeOf } from './fake-worker.ts'

const code = (number: number, app = 'file:///in-place/app.js'): Generation => ({ number, app, root: '/', version: `v${number}` })
const one = code(1)
const two = code(2)

function supervise(options: Partial<SupervisorOptions> = {}) {
  const clock = new FakeClock()
  const spawned: FakeWorker[] = []
  const active: number[] = []
  const log: string[] = []
  const deaths: { id: number; reason: DeathReason }[] = []
  const usage = new Map<FakeWorker, Usage>()
  const supervisor = new Supervisor({
    places: [placeOf(0), placeOf(1)],
    spawn: (place, generation, reason) => {
      const worker = new FakeWorker(place, generation, reason)
      spawned.push(worker)
      return worker
    },
    activate: (slot) => active.push(slot),
    drain: (slot) => active.splice(active.indexOf(slot), 1),
    usage: (worker) => usage.get(worker as FakeWorker) ?? { requests: 0, heapBytes: 0, ageMs: 0 },
    clock,
    maxWaitTime: 30_000,
    drainGrace: 0,
    concurrency: 1,
    rollback: { errors: 2, within: 10_000 },
    events: {
      serving: ({ id, reason }) => log.push(`serving ${id} ${reason}`),
      leaving: ({ id }) => log.push(`leaving ${id}`),
      left: ({ id }) => log.push(`left ${id}`),
      died: ({ place: { id } }, { reason }) => {
        log.push(`died ${id} ${reason}`)
        deaths.push({ id, reason })
      },
      condemned: (restored) => log.push(`condemned ${restored ? 'restored' : 'kept'}`),
    },
    ...options,
  })
  const last = (): FakeWorker => spawned.at(-1) as FakeWorker
  const versions = (): (string | undefined)[] => supervisor.serving.map(({ generation }) => generation.version)
  return { supervisor, clock, spawned, active, log, deaths, usage, last, versions }
}

/** A supervisor whose two workers serve version 1. */
async function started(options: Partial<SupervisorOptions> = {}) {
  const stage = supervise(options)
  const start = stage.supervisor.start(one, () => stage.log.push('first'))
  for (const worker of stage.spawned) worker.getReady()
  await start
  stage.log.length = 0
  return stage
}

/** Gets every new worker ready as it is started, until `done` settles. */
async function getAllReady<T>(spawned: FakeWorker[], from: number, done: Promise<T>): Promise<T> {
  const state = { isDone: false }
  void done.finally(() => {
    state.isDone = true
  })
  for (let index = from; !state.isDone; ) {
    await settle()
    for (; index < spawned.length; index += 1) spawned[index]?.getReady()
  }
  return done
}

test('start() spawns all workers at once and calls back when the first serves', async (t) => {
  const { supervisor, spawned, log } = supervise()
  const start = supervisor.start(one, () => log.push('first'))
  t.is(spawned.length, 2)
  spawned[1]?.getReady()
  await settle()
  t.deepEqual(log, ['serving 1 start', 'first'])
  spawned[0]?.getReady()
  await start
  t.deepEqual(log, ['serving 1 start', 'first', 'serving 0 start'])
})

test('start() rejects with the error of a worker that fails, and ends the others', async (t) => {
  const { supervisor, spawned, clock } = supervise()
  const start = supervisor.start(one, () => undefined)
  spawned[0]?.getReady()
  spawned[1]?.failToStart(new Error('no start'))
  await clock.pass(1_000)
  await t.throwsAsync(start, { message: 'no start' })
  t.deepEqual(spawned[0]?.asked, ['terminate'])
  spawned[0]?.die()
  await clock.pass(10_000)
  t.is(spawned.length, 2, 'nothing is started after a failed start')
})

test('a reload changes nothing until every new worker is ready, then everything at once', async (t) => {
  const { supervisor, spawned, active, versions } = await started()
  const reload = supervisor.reload(two)
  await settle()
  t.is(spawned.length, 3, 'the first starts alone')
  spawned[2]?.getReady()
  await settle()
  t.deepEqual(versions(), ['v1', 'v1'])
  t.deepEqual(spawned[0]?.asked, [])
  spawned[3]?.getReady()
  t.like(await reload, { ok: true, rolledBack: false })
  t.deepEqual(versions(), ['v2', 'v2'])
  t.deepEqual(active, [spawned[2]?.slot, spawned[3]?.slot])
  t.deepEqual(spawned[0]?.asked, ['drain reload'])
})

for (const failing of [0, 1]) {
  test(`a reload whose worker ${failing} fails leaves the old code everywhere and nothing behind`, async (t) => {
    const { supervisor, spawned, active, versions, log, clock } = await started()
    const reload = supervisor.reload(two)
    await settle()
    if (failing === 1) {
      spawned[2]?.getReady()
      await settle()
    }
    spawned.at(-1)?.failToStart(new Error('broken'))
    t.like(await reload, { ok: false, rolledBack: false, error: { message: 'broken' } })
    await clock.pass(60_000)
    t.deepEqual(versions(), ['v1', 'v1'])
    t.deepEqual(active, [spawned[0]?.slot, spawned[1]?.slot])
    t.is(supervisor.generation, one)
    t.deepEqual(log, [])
    for (const worker of spawned.slice(2)) t.deepEqual(worker.asked, ['terminate'])
  })
}

test('a reload whose first worker dies while the last starts fails with what killed it', async (t) => {
  const { supervisor, spawned, versions } = await started()
  const reload = supervisor.reload(two)
  await settle()
  spawned[2]?.getReady()
  await settle()
  spawned[2]?.die({ error: new Error('a timer threw') })
  spawned[3]?.getReady()
  t.like(await reload, { ok: false, error: { code: 'ERR_SLUICE_WORKER_START', cause: { message: 'a timer threw' } } })
  t.deepEqual(versions(), ['v1', 'v1'])
})

test('a reload can be given up by its signal', async (t) => {
  const { supervisor, versions } = await started()
  const stop = new AbortController()
  const reload = supervisor.reload(two, stop.signal)
  await settle()
  stop.abort(new Error('enough'))
  t.like(await reload, { ok: false, error: { message: 'enough' } })
  t.deepEqual(versions(), ['v1', 'v1'])
})

test('a dead worker is replaced at once, by the code that serves', async (t) => {
  const { spawned, log, last, versions } = await started()
  spawned[0]?.die({ reason: 'reject' })
  await settle()
  t.is(spawned.length, 3)
  t.like(last(), { id: 0, reason: 'crash', generation: one })
  last().getReady()
  await settle()
  t.deepEqual(log, ['died 0 reject', 'serving 0 crash'])
  t.deepEqual(versions(), ['v1', 'v1'])
})

test('a worker that dies again and again is replaced ever later; the other seat does not notice', async (t) => {
  const { spawned, clock, last } = await started()
  const delays: number[] = []
  for (let round = 0; round < 4; round += 1) {
    const count = spawned.length
    const worker = round === 0 ? spawned[0] : last()
    worker?.die()
    const before = clock.now()
    await clock.pass(0)
    while (spawned.length === count) await clock.pass(10)
    delays.push(clock.now() - before)
    last().getReady()
    await settle()
  }
  t.deepEqual(delays, [0, 100, 1_000, 2_000])
  t.deepEqual(spawned[1]?.asked, [])
})

test('a replacement that fails to start is told and tried again, later', async (t) => {
  const { spawned, clock, deaths, last } = await started()
  spawned[0]?.die()
  await settle()
  last().failToStart(new Error('disk is gone'))
  await settle()
  t.deepEqual(deaths.map(({ reason }) => reason), ['throw', 'start-failed'])
  t.is(spawned.length, 3)
  await clock.pass(100)
  t.is(spawned.length, 4)
})

test('a stuck worker is replaced before it is terminated, and its end is not awaited', async (t) => {
  const order: string[] = []
  const stage = await started({
    events: { serving: () => undefined, leaving: () => undefined, left: () => undefined, died: (_, { reason }) => order.push(`died ${reason}`), condemned: () => undefined },
  })
  const [stuck] = stage.spawned
  stage.spawned.push = (...workers) => {
    order.push('spawned')
    return Array.prototype.push.apply(stage.spawned, workers)
  }
  const terminate = stuck!.terminate.bind(stuck)
  stuck!.terminate = () => {
    order.push('terminated')
    terminate()
  }
  stuck?.die({ reason: 'stuck', exitCode: -1 })
  await settle()
  t.deepEqual(order, ['spawned', 'terminated', 'died stuck'])
})

test('a worker that dies while it is leaving is told, and not replaced', async (t) => {
  const { supervisor, spawned, log } = await started()
  await getAllReady(spawned, 2, supervisor.reload(two))
  log.length = 0
  spawned[0]?.die()
  await settle()
  t.is(spawned.length, 4)
  t.deepEqual(log, ['died 0 throw'])
})

test('a worker that does not stop in time is told as stuck', async (t) => {
  const { supervisor, spawned, log, clock } = await started()
  await getAllReady(spawned, 2, supervisor.reload(two))
  spawned[1]?.end()
  log.length = 0
  await clock.pass(40_000)
  t.deepEqual(log, ['left 1', 'died 0 stuck'])
  t.is(spawned[0]?.asked.at(-1), 'terminate')
})

test('replace() gives one seat a fresh worker with the same code, and no other', async (t) => {
  const { supervisor, spawned, log } = await started()
  await getAllReady(spawned, 2, supervisor.replace(1))
  t.deepEqual(log, ['serving 1 recycle', 'leaving 1'])
  t.is(spawned.length, 3)
  t.like(spawned[2], { id: 1, generation: one })
})

test('replace() rejects when the fresh worker fails, and the old one stays', async (t) => {
  const { supervisor, spawned } = await started()
  const replace = supervisor.replace(0)
  await settle()
  spawned[2]?.failToStart(new Error('no'))
  await t.throwsAsync(replace, { message: 'no' })
  t.deepEqual(spawned[0]?.asked, [])
  t.is(supervisor.serving[0], spawned[0])
})

test('a worker whose life span is over is replaced once, without an empty moment', async (t) => {
  const { spawned, usage, clock, supervisor } = await started({ places: [placeOf(0), placeOf(1, 'worker', { requests: 10 })] })
  usage.set(spawned[1] as FakeWorker, { requests: 10, heapBytes: 0, ageMs: 0 })
  await clock.pass(3_000)
  t.is(spawned.length, 3)
  t.is(supervisor.serving.length, 2)
  spawned[2]?.getReady()
  await settle()
  t.like(spawned[2], { id: 1, reason: 'recycle' })
  t.deepEqual(spawned[1]?.asked, ['drain recycle'])
})

test('too many deaths after a reload bring the older code back when it has a folder of its own', async (t) => {
  const release1 = code(1, 'file:///releases/1/app.js')
  const release2 = code(2, 'file:///releases/2/app.js')
  const { supervisor, spawned, log, versions, clock } = supervise()
  const start = supervisor.start(release1, () => undefined)
  await getAllReady(spawned, 0, start)
  await getAllReady(spawned, 2, supervisor.reload(release2))
  t.deepEqual(versions(), ['v2', 'v2'])
  spawned[2]?.die()
  await settle()
  spawned[3]?.die()
  const seen = spawned.length
  const restored = new Promise<void>((resolve) => {
    const look = async (): Promise<void> => {
      await clock.pass(0)
      if (log.includes('condemned restored')) resolve()
      else setImmediate(look)
    }
    void look()
  })
  await getAllReady(spawned, seen, restored)
  t.deepEqual(versions(), ['v1', 'v1'])
})

test('code that was edited in place cannot be brought back: it is said, and the restarts go on', async (t) => {
  const { supervisor, spawned, log, clock } = await started()
  await getAllReady(spawned, 2, supervisor.reload(two))
  spawned[2]?.die()
  spawned[3]?.die()
  await clock.pass(0)
  t.true(log.includes('condemned kept'))
  t.is(spawned.length, 6)
  t.like(spawned[5], { generation: two })
})

test('deaths long after a reload condemn nothing', async (t) => {
  const { supervisor, spawned, log, clock } = await started()
  await getAllReady(spawned, 2, supervisor.reload(two))
  await clock.pass(10_001)
  spawned[2]?.die()
  spawned[3]?.die()
  await clock.pass(0)
  t.false(log.some((line) => line.startsWith('condemned')))
})

test('many reloads in a row make the oldest leavers hurry', async (t) => {
  const { supervisor, spawned } = await started({ places: [placeOf(0)] })
  for (let number = 2; number <= 5; number += 1) await getAllReady(spawned, spawned.length, supervisor.reload(code(number)))
  await settle()
  t.deepEqual(spawned[0]?.asked, ['drain reload', 'stop 1000'])
  t.deepEqual(spawned[1]?.asked, ['drain reload'])
})

test('after freeze() nobody is replaced, and stop() ends everyone', async (t) => {
  const { supervisor, spawned, clock } = await started()
  spawned[0]?.die()
  await settle()
  supervisor.freeze()
  t.deepEqual(spawned[2]?.asked, ['terminate'])
  const stop = supervisor.stop('worker', 5_000, new AbortController().signal)
  await clock.pass(100)
  spawned[1]?.finishWork()
  await settle()
  spawned[1]?.end()
  await stop
  t.deepEqual(spawned[1]?.asked, ['drain shutdown', 'stop 4900'])
  await clock.pass(60_000)
  t.is(spawned.length, 3)
})

test('stop() is over soon when it is told to hurry', async (t) => {
  const { supervisor, clock, spawned } = await started()
  supervisor.freeze()
  const hurry = new AbortController()
  const stop = supervisor.stop('worker', 30_000, hurry.signal)
  hurry.abort()
  await clock.pass(2_000)
  await stop
  for (const worker of spawned) t.is(worker.asked.at(-1), 'terminate')
})

/** A supervisor of one worker, one task worker and a cron worker that are ready. */
const crews = () => started({ places: [placeOf(0), placeOf(1, 'task'), placeOf(2, 'cron')] })

test('the server may accept when a worker serves that answers, whoever else is ready before', async (t) => {
  const { supervisor, spawned, log } = supervise({ places: [placeOf(0), placeOf(1, 'task')] })
  const start = supervisor.start(one, () => log.push('first'))
  spawned[1]?.getReady()
  await settle()
  t.deepEqual(log, ['serving 1 start'])
  spawned[0]?.getReady()
  await start
  t.deepEqual(log, ['serving 1 start', 'serving 0 start', 'first'])
})

test('a reload of one kind leaves the others with their code, also those that crash afterwards', async (t) => {
  const { supervisor, spawned, versions, clock } = await crews()
  t.like(await getAllReady(spawned, 3, supervisor.reload(two, undefined, new Set(['task'] as const))), { ok: true })
  t.is(spawned.length, 4)
  t.deepEqual(versions(), ['v1', 'v2', 'v1'])
  t.is(supervisor.generation, one)
  spawned[0]?.die()
  await clock.pass(0)
  t.like(spawned[4], { id: 0, generation: one })
  spawned[3]?.die()
  await clock.pass(0)
  t.like(spawned[5], { id: 1, generation: two })
})

test('a reload fails as a whole when a worker of any kind does not start', async (t) => {
  const { supervisor, spawned, versions } = await crews()
  const reload = supervisor.reload(two)
  await settle()
  spawned[3]?.getReady()
  await settle()
  spawned[4]?.failToStart(new Error('no tasks'))
  t.like(await reload, { ok: false, error: { message: 'no tasks' } })
  t.deepEqual(versions(), ['v1', 'v1', 'v1'])
  t.deepEqual(spawned[3]?.asked, ['terminate'])
})

test('only deaths of reloaded code condemn it, and every kind gets back what it had', async (t) => {
  const release = (number: number) => code(number, `file:///releases/${number}/app.js`)
  const { supervisor, spawned, log, versions, clock } = supervise({ places: [placeOf(0), placeOf(1, 'task')] })
  await getAllReady(spawned, 0, supervisor.start(release(1), () => undefined))
  await getAllReady(spawned, 2, supervisor.reload(release(2), undefined, new Set(['task'] as const)))
  t.deepEqual(versions(), ['v1', 'v2'])
  for (const worker of [0, 3]) {
    spawned[worker]?.die()
    await clock.pass(0)
    spawned[worker + 3]?.getReady()
    await settle()
  }
  t.false(log.some((line) => line.startsWith('condemned')), 'the worker that answers has older code')
  await getAllReady(spawned, spawned.length, supervisor.reload(release(3)))
  t.deepEqual(versions(), ['v3', 'v3'])
  const fresh = spawned.slice(-2)
  for (const worker of fresh) worker.die()
  const seen = spawned.length
  const restored = new Promise<void>((resolve) => {
    const look = async (): Promise<void> => {
      await clock.pass(0)
      if (log.includes('condemned restored')) resolve()
      else setImmediate(look)
    }
    void look()
  })
  await getAllReady(spawned, seen, restored)
  t.deepEqual(versions(), ['v1', 'v2'])
})

test('stop() ends the workers of one kind, and leaves the others at work', async (t) => {
  const { supervisor, spawned } = await crews()
  supervisor.freeze()
  const stop = supervisor.stop('worker', 5_000, new AbortController().signal)
  spawned[0]?.finishWork()
  await settle()
  spawned[0]?.end()
  await stop
  t.deepEqual(spawned[0]?.asked, ['drain shutdown', 'stop 5000'])
  t.deepEqual(spawned[1]?.asked, [])
  t.deepEqual(supervisor.serving.map(({ id }) => id), [1, 2])
  const hurry = new AbortController()
  hurry.abort()
  const tasks = supervisor.stop('task', 5_000, hurry.signal)
  await settle()
  spawned[1]?.end()
  await tasks
  t.deepEqual(spawned[1]?.asked, ['drain shutdown', 'stop 1000'])
})
