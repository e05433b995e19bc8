import test from 'ava'
import { rateLimit } from 'sluice'

import { Thread } from './support/thread.ts'

let last = 0
const name = (): string => `limit ${++last}`
const DAY = 86_400_000

test('take() gives the tokens of a burst, and then says how long to wait', (t) => {
  const limit = rateLimit(name(), { limit: 3, per: DAY })
  t.deepEqual(limit.take('a'), { ok: true, remaining: 2, retryAfter: 0 })
  t.deepEqual(limit.take('a', 2), { ok: true, remaining: 0, retryAfter: 0 })
  const { ok, remaining, retryAfter } = limit.take('a')
  t.deepEqual({ ok, remaining }, { ok: false, remaining: 0 })
  t.true(Number.isInteger(retryAfter) && retryAfter <= DAY / 3 && retryAfter > DAY / 3 - 60_000)
  t.true(limit.take('b').ok, 'another key has its own')
})

test('take() takes all or none', (t) => {
  const limit = rateLimit(name(), { limit: 5, per: DAY })
  t.true(limit.take('a', 3).ok)
  t.like(limit.take('a', 3), { ok: false, remaining: 2 })
  t.deepEqual(limit.take('a', 2), { ok: true, remaining: 0, retryAfter: 0 })
  t.deepEqual(limit.take('a', 0), { ok: true, remaining: 0, retryAfter: 0 })
})

test('tokens come back, as many as the rate says and no more than the burst', async (t) => {
  const limit = rateLimit(name(), { limit: 1000, per: 1000, burst: 5 })
  t.true(limit.take('a', 5).ok)
  const { ok, retryAfter } = limit.take('a', 5)
  t.true(!ok && retryAfter <= 5)
  const end = performance.now() + retryAfter
  while (performance.now() < end) await null
  t.deepEqual(limit.take('a', 5), { ok: true, remaining: 0, retryAfter: 0 })
})

test('all threads take from the same tokens', async (t) => {
  const threads = [new Thread(t), new Thread(t)]
  const limit = rateLimit(name(), { limit: 100, per: DAY })
  const taken = await Promise.all(threads.map((thread) => thread.run<number>(`const limit = sluice.rateLimit(args[0], { limit: 100, per: ${DAY} }); let taken = 0; for (let n = 0; n < 80; n += 1) taken += limit.take('a').ok ? 1 : 0; return taken`, limit.name)))
  t.is(taken[0]! + taken[1]!, 100)
  t.false(limit.take('a').ok)
})

test('another rate of the same name takes from the same tokens', (t) => {
  const shared = name()
  t.true(rateLimit(shared, { limit: 10, per: DAY }).take('a', 10).ok)
  t.like(rateLimit(shared, { limit: 20, per: DAY }).take('a'), { ok: false, remaining: 0 })
})

test('no more than `keys` are remembered: one that was not used for long has its tokens again', (t) => {
  const limit = rateLimit(name(), { limit: 1, per: DAY, keys: 64 })
  for (let n = 0; n < 10_000; n += 1) t.true(limit.take(`${n}`).ok)
  t.false(limit.take('9999').ok)
  t.true(limit.take('0').ok)
})

test('wrong arguments are refused', (t) => {
  const option = { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_OPTION' }
  const good = { limit: 10, per: 1000 }
  for (const wrong of [{ limit: 0 }, { limit: 1.5 }, { limit: 1_000_001 }, { burst: 0 }, { burst: 2_000_000 }, { keys: 0 }, { keys: 2 ** 24 + 1 }, { per: 0 }, { per: Number.NaN }, { per: 100 * DAY }, { per: '1' as never }]) {
    t.throws(() => rateLimit('wrong', { ...good, ...wrong }), option, JSON.stringify(wrong))
  }
  const arg = { code: 'ERR_SLUICE_INVALID_ARG' }
  t.throws(() => rateLimit('', good), arg)
  const limit = rateLimit(name(), good)
  for (const n of [-1, 0.5, 11, Number.NaN, '1' as never]) t.throws(() => limit.take('a', n), { instanceOf: RangeError, ...arg })
  t.throws(() => limit.take(''), { ...arg, message: /1 to 255 bytes, got 0/ })
  t.throws(() => limit.take('é'.repeat(128)), { ...arg, message: /got 256/ })
  t.notThrows(() => limit.take('é'.repeat(127)))
  t.throws(() => limit.take(7 as never), { instanceOf: TypeError, ...arg })
})
