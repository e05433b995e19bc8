import test from 'ava'

import { Retirement } from '../../src-ts/process/retirement.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { FakeWorker, placeOf } from './fake-worker.ts'

function retire({ maxWaitTime = 30_000, drainGrace = 0 } = {}) {
  const clock = new FakeClock()
  const worker = new FakeWorker(placeOf(0), { number: 1, app: 'file:///app.js', root: '/', version: undefined }, 'start')
  const drained: number[] = []
  const retirement = new Retirement(worker, 'reload', { clock, drain: (slot) => drained.push(slot), maxWaitTime, drainGrace })
  return { clock, worker, drained, retirement }
}

test('a worker leaves dispatch at once, is stopped when its work is done, and has gone when its thread has ended', async (t) => {
  const { worker, drained, retirement, clock } = retire()
  t.deepEqual(drained, [worker.slot])
  await settle()
  t.deepEqual(worker.asked, ['drain reload'])
  await clock.pass(10_000)
  worker.finishWork()
  await settle()
  t.deepEqual(worker.asked, ['drain reload', 'stop 20000'])
  worker.end()
  t.true(await retirement.done)
})

test('work that is not done after `maxWaitTime` is cut off, and the hooks still get a second', async (t) => {
  const { worker, clock } = retire({ maxWaitTime: 5_000 })
  await clock.pass(4_999)
  t.deepEqual(worker.asked, ['drain reload'])
  await clock.pass(1)
  t.deepEqual(worker.asked, ['drain reload', 'stop 1000'])
})

test('a thread that does not end is terminated, and waited for no longer', async (t) => {
  const { worker, clock, retirement } = retire({ maxWaitTime: 5_000 })
  await clock.pass(6_500)
  t.is(worker.asked.at(-1), 'terminate')
  await clock.pass(500)
  t.false(await retirement.done)
})

test('the application is told after `drainGrace`, or when nothing is left to do', async (t) => {
  const busy = retire({ drainGrace: 1_000 })
  await busy.clock.pass(999)
  t.deepEqual(busy.worker.asked, [])
  await busy.clock.pass(1)
  t.deepEqual(busy.worker.asked, ['drain reload'])
  const idle = retire({ drainGrace: 1_000 })
  idle.worker.finishWork()
  await settle()
  t.deepEqual(idle.worker.asked, ['drain reload', 'stop 30000'])
})

test('hurry() cuts the waiting short', async (t) => {
  const { worker, clock, retirement } = retire()
  await clock.pass(10)
  retirement.hurry()
  await settle()
  t.deepEqual(worker.asked, ['drain reload', 'stop 1000'])
  await clock.pass(1_500)
  t.is(worker.asked.at(-1), 'terminate')
})
