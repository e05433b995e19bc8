import test from 'ava'
import fc from 'fast-check'
import { defineCache } from 'sluice'

import { ask, next, startServer } from './support/server.ts'
import { Thread } from './support/thread.ts'

let last = 0
const name = (): string => `cache ${++last}`
const roomy = (): ReturnType<typeof defineCache> => defineCache(name(), { maxBytes: 1_000_000 })

test('a cache gives back what it was given, as a copy', (t) => {
  const cache = roomy()
  const values = ['', 'text', 'ä €', '\u{1f600}', '\ud800 alone', 7, -0.5, true, null, 12n, { a: [1, { b: new Date(0) }] }, new Map([[1, new Set(['x'])]]), new Uint8Array([1, 2, 3]), Buffer.from('bytes'), /x/gu]
  for (const [index, value] of values.entries()) {
    cache.set(`${index}`, value)
    t.deepEqual(cache.get(`${index}`), Buffer.isBuffer(value) ? Buffer.from(value) : value)
  }
  const object = { n: 1 }
  cache.set('copy', object)
  object.n = 2
  t.deepEqual(cache.get('copy'), { n: 1 })
  t.not(cache.get('copy'), cache.get('copy'))
})

test('undefined can be kept: has() tells it from nothing', (t) => {
  const cache = roomy()
  cache.set('a', undefined)
  t.true(cache.has('a'))
  t.is(cache.get('a'), undefined)
  t.false(cache.has('b'))
})

test('any value that can be cloned survives', (t) => {
  const cache = roomy()
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }), (key, value) => {
      cache.set(key, value)
      t.deepEqual(cache.get(key), structuredClone(value))
    }),
    { numRuns: 200 },
  )
})

test('delete() and clear() forget', (t) => {
  const cache = roomy()
  cache.set('a', 1)
  cache.set('b', 2)
  t.true(cache.delete('a'))
  t.false(cache.delete('a'))
  t.is(cache.size, 1)
  cache.clear()
  t.is(cache.size, 0)
  t.is(cache.bytes, 0)
})

test('a value lives for its ttl, that of the cache, or for ever', async (t) => {
  const cache = defineCache<number>(name(), { maxBytes: 10_000, ttl: 0 })
  cache.set('default', 1)
  cache.set('long', 2, { ttl: 60_000 })
  cache.set('short', 3, { ttl: 1 })
  t.is(cache.get('default'), undefined)
  const end = performance.now() + 5
  while (performance.now() < end) await null
  t.is(cache.get('short'), undefined)
  t.is(cache.get('long'), 2)
  t.like(cache.stats(), { hits: 1, misses: 2, expired: 2, evicted: 0 })
})

test('a cache keeps to its bytes, and says what a value too large would take', (t) => {
  const cache = defineCache<string>(name(), { maxBytes: 10_000 })
  for (let n = 0; n < 1000; n += 1) {
    cache.set(`${n}`, 'x'.repeat(n % 500))
    t.true(cache.bytes <= 10_000)
  }
  t.true(cache.stats().evicted > 900)
  t.notThrows(() => cache.set('a', 'x'.repeat(9_700 - 128 - 1 - 1)))
  t.throws(() => cache.set('a', 'x'.repeat(9_700 - 128 - 1)), { instanceOf: RangeError, code: 'ERR_SLUICE_CACHE_VALUE_TOO_LARGE', message: /takes 9701 bytes with its key; the cache ".*" takes at most 9700, 97 % of its maxBytes \(10000\)$/ })
  t.false(cache.has('a'), 'what was there is out of date')
})

test('a cache of one name is one cache in all threads, and the last definition says how large it is', async (t) => {
  const thread = new Thread(t)
  const cache = defineCache<string>(name(), { maxBytes: 10_000 })
  cache.set('a', 'mine')
  t.is(await thread.run(`state.cache = sluice.defineCache(args[0], { maxBytes: 20000 }); state.cache.set('b', { theirs: 1 }); return state.cache.get('a')`, cache.name), 'mine')
  t.deepEqual(cache.get('b') as unknown, { theirs: 1 })
  t.is(cache.maxBytes, 20_000)
  await thread.terminate()
  t.true(cache.has('b'))
})

test('load() runs one loader for all who ask in a thread, and keeps what it gives', async (t) => {
  const cache = roomy()
  let runs = 0
  const loader = async (): Promise<{ run: number }> => {
    const run = ++runs
    await new Promise(setImmediate)
    return { run }
  }
  const [one, other] = await Promise.all([cache.load('a', loader), cache.load('a', loader), cache.load('b', loader)])
  t.is(one, other)
  t.is(runs, 2)
  t.deepEqual(await cache.load('a', () => t.fail()), { run: 1 })
})

test('load() runs one loader in all threads', async (t) => {
  const threads = [new Thread(t), new Thread(t), new Thread(t)]
  const cache = defineCache<number>(name(), { maxBytes: 10_000 })
  const runs = new SharedArrayBuffer(4)
  const code = `
    const cache = sluice.defineCache(args[0], { maxBytes: 10000 })
    return cache.load('key', async () => { await new Promise((resolve) => setTimeout(resolve, 20)); return Atomics.add(new Int32Array(args[1]), 0, 1) + 1 })`
  const values = await Promise.all(threads.flatMap((thread) => [thread.run(code, cache.name, runs), thread.run(code, cache.name, runs)]))
  t.deepEqual(values, [1, 1, 1, 1, 1, 1])
})

test('an error reaches those who wait in the thread, the next thread tries itself, and nothing is kept', async (t) => {
  const thread = new Thread(t)
  const cache = defineCache<string>(name(), { maxBytes: 10_000 })
  let fail: (error: Error) => void = () => undefined
  const loader = (): Promise<string> => new Promise((_resolve, reject) => (fail = reject))
  const mine = [cache.load('a', loader), cache.load('a', loader)]
  const theirs = thread.run(`return sluice.defineCache(args[0], { maxBytes: 10000 }).load('a', () => 'theirs')`, cache.name)
  await thread.run('')
  fail(new Error('no luck'))
  for (const load of mine) await t.throwsAsync(load, { message: 'no luck' })
  t.is(await theirs, 'theirs')
  t.is(await cache.load('a', () => 'too late'), 'theirs')
})

test('a loader whose thread dies is replaced by the next in line', async (t) => {
  const thread = new Thread(t)
  const cache = defineCache<string>(name(), { maxBytes: 10_000 })
  await thread.run(`void sluice.defineCache(args[0], { maxBytes: 10000 }).load('a', () => { state.isLoading = true; return new Promise(() => {}) })`, cache.name)
  t.true(await thread.run('return state.isLoading'))
  const load = cache.load('a', () => 'mine')
  await thread.terminate()
  t.is(await load, 'mine')
})

test('load() rejects for what the loader throws at once, cannot be cloned, or is too large', async (t) => {
  const cache = roomy()
  await t.throwsAsync(
    cache.load('a', () => {
      throw new Error('at once')
    }),
    { message: 'at once' },
  )
  await t.throwsAsync(cache.load('a', () => () => 1), { code: 'ERR_SLUICE_INVALID_ARG' })
  await t.throwsAsync(cache.load('a', () => 'x'.repeat(1_000_000)), { code: 'ERR_SLUICE_CACHE_VALUE_TOO_LARGE' })
  t.is(await cache.load('a', () => 1), 1)
})

test('the signal of a loader is aborted when its worker has no time left, and the successor loads', async (t) => {
  const server = await startServer(t, { app: new URL('fixtures/loader.mjs', import.meta.url), workers: 1, maxWaitTime: 300 })
  // Not safe, so the successor does not get it again.
  const slow = ask(server, '/slow', 'POST')
  const message = next(server, 'message')
  while (server.stats().perWorker[0]!.concurrency === 0) await new Promise(setImmediate)
  t.true((await server.reload()).ok)
  t.is((await message)[1], 'ERR_SLUICE_SHUTTING_DOWN')
  t.is((await ask(server, '/quick')).text, 'quick')
  t.is((await slow).status, 503)
})

test('wrong arguments are refused', async (t) => {
  const option = { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_OPTION' }
  for (const maxBytes of [1023, 2 ** 48 + 1, 5000.5, Number.NaN, '5000' as never]) t.throws(() => defineCache('a', { maxBytes }), option)
  const arg = { code: 'ERR_SLUICE_INVALID_ARG' }
  t.throws(() => defineCache('', { maxBytes: 1024 }), arg)
  t.throws(() => defineCache('a', { maxBytes: 1024, ttl: -1 }), arg)
  const cache = roomy()
  for (const key of ['', 'x'.repeat(4097), 7 as never]) {
    t.throws(() => cache.get(key), arg)
    t.throws(() => cache.set(key, 1), arg)
    t.throws(() => cache.has(key), arg)
    t.throws(() => cache.delete(key), arg)
    await t.throwsAsync(cache.load(key, () => 1), arg)
  }
  t.throws(() => cache.set('a', 1, { ttl: Number.NaN }), arg)
  t.throws(() => cache.set('a', () => 1), { instanceOf: TypeError, ...arg })
  await t.throwsAsync(cache.load('a', () => 1, { ttl: -1 }), arg)
})
