import test from 'ava'

import { Deferred } from '../../../src-ts/process/deferred.ts'
import { ProcessInstance, type InstanceOptions } from '../../../src-ts/process/custom/instance.ts'
import type { ProcessEnd, Runner } from '../../../src-ts/process/custom/runner.ts'
import { FakeClock, settle } from '../fake-clock.ts'

class FakeRunner implements Runner {
  readonly pid = 7
  readonly asked: string[] = []
  answers = true
  readonly #ready = new Deferred()
  readonly #ended = new Deferred<ProcessEnd>()
  readonly ready: Promise<void> = this.#ready.promise
  readonly ended: Promise<ProcessEnd> = this.#ended.promise

  stop(reason: string, timeout: number): void {
    this.asked.push(`stop ${reason} ${timeout}`)
  }

  kill(): void {
    this.asked.push('kill')
  }

  post(): void {}

  abandon(): void {
    this.asked.push('abandon')
  }

  ping(answered: () => void): void {
    this.asked.push('ping')
    if (this.answers) answered()
  }

  getReady(): void {
    this.#ready.resolve(undefined)
  }

  end(end: Partial<ProcessEnd> = {}): void {
    this.#ended.resolve({ reason: 'exit', exitCode: 0, signal: undefined, error: undefined, ...end })
  }
}

function stage(options: Partial<InstanceOptions> = {}) {
  const clock = new FakeClock()
  const runners: FakeRunner[] = []
  const log: string[] = []
  const overs: number[] = []
  const instance = new ProcessInstance({
    name: 'test',
    kind: 'thread',
    id: 3,
    enable: true,
    restartInterval: 5_000,
    maxRestarts: undefined,
    stuckAfter: 0,
    clock,
    maxWaitTime: 10_000,
    spawn: () => {
      const runner = new FakeRunner()
      runners.push(runner)
      return runner
    },
    events: {
      started: () => log.push('started'),
      stopped: () => log.push('stopped'),
      failed: ({ reason, restartIn }) => log.push(`failed ${reason} ${restartIn ?? 'for good'}`),
      gone: () => log.push('gone'),
      over: () => overs.push(clock.now()),
    },
    ...options,
  })
  const last = (): FakeRunner => runners.at(-1)!
  return { clock, runners, log, overs, instance, last }
}

async function running(options: Partial<InstanceOptions> = {}) {
  const all = stage(options)
  all.instance.start()
  all.last().getReady()
  await settle()
  all.log.length = 0
  return all
}

test('it runs when its runner says so, and is waited for until then', async (t) => {
  const { instance, last, log } = stage()
  t.is(instance.info.status, 'waiting')
  const waited = instance.running
  instance.start()
  t.like(instance.info, { name: 'test', kind: 'thread', id: 3, status: 'starting', since: undefined, pid: 7 })
  last().getReady()
  await waited
  t.deepEqual(log, ['started'])
  t.is(instance.info.status, 'running')
  t.truthy(instance.info.since)
})

test('failures in a row are waited for ever longer, up to a minute; the end of the code is no failure', async (t) => {
  const { clock, instance, last, log } = await running()
  for (const seconds of [5, 10, 20, 40, 60, 60]) {
    last().end({ reason: 'throw', exitCode: 1 })
    await clock.pass(seconds * 1_000)
    last().getReady()
    await settle()
  }
  t.deepEqual(log.filter((line) => line.startsWith('failed')), [5, 10, 20, 40, 60, 60].map((seconds) => `failed throw ${seconds}000`))
  log.length = 0
  last().end()
  await clock.pass(5_000)
  last().getReady()
  await settle()
  last().end({ exitCode: 1 })
  await settle()
  t.deepEqual(log.filter((line) => line.startsWith('failed')), ['failed exit 5000', 'failed exit 5000'])
  t.is(instance.info.restarts, 7)
})

test('a process that has run for half a minute begins to count anew', async (t) => {
  const { clock, last, log } = await running({ maxRestarts: 1 })
  for (let count = 0; count < 3; count += 1) {
    await clock.pass(30_000)
    last().end({ reason: 'oom' })
    await clock.pass(5_000)
    last().getReady()
    await settle()
  }
  t.deepEqual(log.filter((line) => line.startsWith('failed')), Array(3).fill('failed oom 5000'))
})

test('after `maxRestarts` it is left alone, and who waits hears of it; a restart by hand brings it back', async (t) => {
  const { clock, instance, last, log, overs, runners } = await running({ maxRestarts: 1 })
  last().end({ exitCode: 2 })
  await clock.pass(5_000)
  const waited = t.throwsAsync(instance.running, { code: 'ERR_SLUICE_PROCESS_GONE' })
  last().end({ exitCode: 2 })
  await clock.pass(100_000)
  await waited
  t.is(log.at(-1), 'failed exit for good')
  t.is(runners.length, 2)
  t.true(instance.isOver)
  t.true(instance.hasFailed)
  t.deepEqual(overs, [5_000])
  const again = instance.again('stop')
  await settle()
  t.is(runners.length, 3)
  last().getReady()
  await again
  t.is(instance.info.status, 'running')
  t.false(instance.hasFailed)
})

test('one that has come to its end as often as it may has not failed', async (t) => {
  const { instance, last } = await running({ maxRestarts: 0 })
  last().end()
  await settle()
  t.true(instance.isOver)
  t.false(instance.hasFailed)
})

test('what cannot be started is tried again', async (t) => {
  let isBroken = true
  const { clock, instance, log } = stage({
    spawn: () => {
      if (isBroken) throw new Error('no thread')
      return new FakeRunner()
    },
  })
  instance.start()
  t.deepEqual(log, ['failed start-failed 5000'])
  isBroken = false
  await clock.pass(5_000)
  t.is(instance.info.status, 'starting')
})

test('a reload asks it to go, waits for its end, and starts it again; never two at once', async (t) => {
  const { instance, last, log, runners } = await running()
  const reload = instance.again('reload')
  await settle()
  t.deepEqual(last().asked, ['stop reload 10000'])
  t.is(instance.info.status, 'stopping')
  t.is(runners.length, 1)
  last().end()
  await settle()
  t.is(runners.length, 2)
  last().getReady()
  await reload
  t.deepEqual(log, ['gone', 'stopped', 'started'])
  t.is(instance.info.restarts, 0)
})

test('what does not go in time is killed, and not waited for when it does not even end by that', async (t) => {
  const { clock, instance, last, log, runners } = await running()
  const reload = instance.again('reload')
  await settle()
  await clock.pass(10_000)
  t.deepEqual(last().asked, ['stop reload 10000', 'kill'])
  await clock.pass(2_000)
  t.is(runners.length, 2)
  t.deepEqual(log, ['gone', 'failed stuck 0'])
  t.deepEqual(runners[0]?.asked, ['stop reload 10000', 'kill', 'abandon'])
  runners[0]?.end()
  await settle()
  t.is(instance.info.status, 'starting', 'its late end concerns nobody')
  last().end({ reason: 'start-failed' })
  await reload
})

test('a stop ends it for good, also while it waits for its restart', async (t) => {
  const { clock, instance, last, runners } = await running()
  last().end({ exitCode: 1 })
  await settle()
  t.is(instance.info.status, 'waiting')
  await instance.stop(5_000, new AbortController().signal)
  await clock.pass(100_000)
  t.is(runners.length, 1)
  t.true(instance.isOver)
  instance.start()
  await instance.again('reload')
  t.is(runners.length, 1)
})

test('a stop that is to hurry leaves a second', async (t) => {
  const { clock, instance, last } = await running()
  const hurry = new AbortController()
  const stop = instance.stop(30_000, hurry.signal)
  await settle()
  t.deepEqual(last().asked, ['stop stop 30000'])
  hurry.abort()
  await clock.pass(999)
  t.is(last().asked.length, 1)
  await clock.pass(1)
  t.is(last().asked.at(-1), 'kill')
  last().end({ reason: 'signal', signal: 'SIGKILL' })
  await stop
  t.true(instance.isOver)
})

test('reloads that are asked for while one runs are one', async (t) => {
  const { instance, last, runners } = await running()
  const reloads = Array.from({ length: 100 }, () => instance.again('reload'))
  for (let count = 0; count < 2; count += 1) {
    await settle()
    last().end()
    await settle()
    last().getReady()
  }
  await Promise.all(reloads)
  t.is(runners.length, 3)
})

test('one that answers no more is killed, counted and started again; one that answers is left alone', async (t) => {
  const { clock, instance, last, log, runners } = await running({ stuckAfter: 1_000 })
  await clock.pass(60_000)
  t.deepEqual(new Set(last().asked), new Set(['ping']))
  last().answers = false
  await clock.pass(1_500)
  t.is(last().asked.at(-1), 'kill')
  last().end({ reason: 'signal', signal: 'SIGKILL' })
  await settle()
  t.deepEqual(log, ['gone', 'failed stuck 5000'])
  t.is(instance.info.stuck, 1)
  await clock.pass(5_000)
  t.is(runners.length, 2)
  last().answers = false
  last().getReady()
  await settle()
  await clock.pass(1_500 + 2_000)
  t.deepEqual(last().asked.slice(-2), ['kill', 'abandon'], 'a thread in a native call may never end')
  t.deepEqual(log.slice(-2), ['gone', 'failed stuck 10000'])
})

test('one that does not end by itself when it is asked to go, but when it is killed, has not gone as it was asked', async (t) => {
  const { clock, instance, last, log } = await running()
  const restart = instance.again('stop')
  await settle()
  await clock.pass(10_000)
  last().end({ reason: 'signal', signal: 'SIGKILL' })
  await settle()
  t.deepEqual(log, ['gone', 'failed stuck 0'])
  last().getReady()
  await restart
})

test('failures are waited for longer each time also with an interval of nothing', async (t) => {
  const { clock, last, log } = await running({ restartInterval: 0 })
  for (let count = 0; count < 4; count += 1) {
    last().end({ exitCode: 1 })
    await clock.pass(100)
    last().getReady()
    await settle()
  }
  t.deepEqual(log.filter((line) => line.startsWith('failed')), [0, 2, 4, 8].map((ms) => `failed exit ${ms}`))
})
