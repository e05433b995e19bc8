import test from 'ava'

import { CrashLoop } from '../../src-ts/process/crash-loop.ts'

const rule = { errors: 3, within: 10_000 }

test('says so with the death that reaches the rule, and once', (t) => {
  const loop = new CrashLoop(rule)
  loop.arm(0)
  t.deepEqual([1, 2, 3, 4, 5, 6].map((now) => loop.died(now)), [false, false, true, false, false, false])
})

test('counts a death at the end of the time, and none after it', (t) => {
  const inTime = new CrashLoop({ errors: 1, within: 100 })
  inTime.arm(50)
  t.true(inTime.died(150))
  const late = new CrashLoop({ errors: 1, within: 100 })
  late.arm(50)
  t.false(late.died(151))
})

test('counts nothing before it is armed, after it is disarmed, or without a rule', (t) => {
  const loop = new CrashLoop({ errors: 1, within: 100 })
  t.false(loop.died(0))
  loop.arm(0)
  loop.disarm()
  t.false(loop.died(1))
  const off = new CrashLoop(false)
  off.arm(0)
  t.false(off.died(1))
})

test('arming again starts from nothing', (t) => {
  const loop = new CrashLoop({ errors: 2, within: 100 })
  loop.arm(0)
  loop.died(1)
  loop.arm(2)
  t.false(loop.died(3))
})
