import test from 'ava'

import { Pulse } from '../../../src-ts/process/custom/pulse.ts'
import { FakeClock } from '../fake-clock.ts'

function stage(stuckAfter = 1_000) {
  const clock = new FakeClock()
  const asks: (() => void)[] = []
  let stuck = 0
  const pulse = new Pulse({ clock, stuckAfter, ask: (answered) => void asks.push(answered), stuck: () => void (stuck += 1) })
  return { clock, asks, pulse, stuck: () => stuck }
}

test('who answers in time is never stuck', async (t) => {
  const { asks, clock, stuck } = stage()
  for (let count = 0; count < 20; count += 1) {
    asks.at(-1)!()
    await clock.pass(900)
  }
  t.is(stuck(), 0)
  t.true(asks.length >= 20)
})

test('who does not is told of once, when the time is over', async (t) => {
  const { asks, clock, stuck } = stage()
  await clock.pass(999)
  t.is(stuck(), 0)
  await clock.pass(1)
  t.is(stuck(), 1)
  await clock.pass(10_000)
  t.is(stuck(), 1)
  t.is(asks.length, 1)
})

test('nobody is blamed for the time in which the asker itself was late', (t) => {
  const due: (() => void)[] = []
  let now = 0
  let stuck = 0
  let answer: (() => void) | undefined
  const pulse = new Pulse({
    clock: { now: () => now, after: (_ms, run) => (due.push(run), () => {}) },
    stuckAfter: 1_000,
    ask: (answered) => void (answer = answered),
    stuck: () => void (stuck += 1),
  })
  // It was blocked for ten seconds; the answer lies there, unread.
  now = 10_000
  due.shift()!()
  t.is(stuck, 0)
  answer!()
  now += 250
  due.shift()!()
  t.is(stuck, 0)
  for (let count = 0; count < 4; count += 1) {
    now += 250
    due.shift()!()
  }
  t.is(stuck, 1)
  pulse.stop()
})

test('one that was stopped asks and tells nothing', async (t) => {
  const { asks, clock, pulse, stuck } = stage()
  pulse.stop()
  await clock.pass(10_000)
  t.deepEqual([asks.length, stuck()], [1, 0])
})
