import test from 'ava'
import fc from 'fast-check'
import { Backoff } from '../../src-ts/websocket/client-backoff.ts'

const settings = { min: 100, max: 1000, factor: 2, jitter: 0, retries: Number.POSITIVE_INFINITY }
const delays = (backoff: Backoff, count: number) => Array.from({ length: count }, () => backoff.next(0)?.delay)

test('each delay is the one before times the factor, up to the longest', (t) => {
  t.deepEqual(delays(new Backoff(settings), 6), [100, 200, 400, 800, 1000, 1000])
})

test('jitter takes away up to its part of the delay', (t) => {
  t.deepEqual(delays(new Backoff({ ...settings, jitter: 0.5 }, () => 0), 2), [100, 200])
  t.deepEqual(delays(new Backoff({ ...settings, jitter: 0.5 }, () => 0.5), 2), [75, 150])
  t.deepEqual(delays(new Backoff({ ...settings, jitter: 1 }, () => 0.5), 2), [50, 100])
})

test('attempts are counted from 1, and after the last there is none', (t) => {
  const backoff = new Backoff({ ...settings, retries: 2 })
  t.deepEqual(backoff.next(0), { attempt: 1, delay: 100 })
  t.deepEqual(backoff.next(0), { attempt: 2, delay: 200 })
  t.is(backoff.next(0), null)
})

test('no retries means none', (t) => {
  t.is(new Backoff({ ...settings, retries: 0 }).next(0), null)
})

test('a connection that lasted as long as the delay before it starts the count anew', (t) => {
  const backoff = new Backoff(settings)
  delays(backoff, 3)
  backoff.opened(5000)
  t.deepEqual(backoff.next(5400), { attempt: 1, delay: 100 })
})

test('a connection that was lost sooner does not', (t) => {
  const backoff = new Backoff(settings)
  delays(backoff, 3)
  backoff.opened(5000)
  t.deepEqual(backoff.next(5399), { attempt: 4, delay: 800 })
})

test('the wait a server asks for lengthens the delay, up to the longest', (t) => {
  t.is(new Backoff(settings).next(0, 500)?.delay, 500)
  t.is(new Backoff(settings).next(0, 50)?.delay, 100)
  t.is(new Backoff(settings).next(0, 5000)?.delay, 1000)
})

test('whatever the settings, every delay is a whole number up to the longest', (t) => {
  const anything = fc.record({
    min: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    factor: fc.double({ min: 1, max: 100, noNaN: true }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    more: fc.integer({ min: 0, max: 1000 }),
    random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  })
  fc.assert(
    fc.property(anything, ({ min, more, factor, jitter, random }) => {
      const max = Math.min(min + more, 2 ** 31 - 1)
      const backoff = new Backoff({ min, max, factor, jitter, retries: Number.POSITIVE_INFINITY }, () => random)
      return delays(backoff, 400).every((delay) => Number.isInteger(delay) && (delay as number) >= 0 && (delay as number) <= max)
    }),
    { numRuns: 50 },
  )
  t.pass()
})
