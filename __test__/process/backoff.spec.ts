import test from 'ava'

import { Backoff } from '../../src-ts/process/backoff.ts'

test('the first death costs no delay, later ones more and more, and the last delay repeats', (t) => {
  const backoff = new Backoff()
  const delays = [1, 2, 3, 4, 5, 6].map((now) => backoff.died(now))
  t.deepEqual(delays, [0, 100, 1_000, 2_000, 5_000, 5_000])
})

test('a worker that served for 30 seconds starts the delays from the beginning', (t) => {
  const backoff = new Backoff()
  backoff.died(0)
  backoff.died(0)
  backoff.serving(100)
  t.is(backoff.died(30_100), 0)
})

test('a worker that served a millisecond less does not', (t) => {
  const backoff = new Backoff()
  backoff.died(0)
  backoff.serving(100)
  t.is(backoff.died(30_099), 100)
})

test('time that passes without a serving worker is not health', (t) => {
  const backoff = new Backoff()
  backoff.serving(0)
  backoff.died(1)
  t.is(backoff.died(1_000_000), 100)
})

test('reset() forgets the deaths', (t) => {
  const backoff = new Backoff()
  backoff.died(0)
  backoff.reset()
  t.is(backoff.died(0), 0)
})
