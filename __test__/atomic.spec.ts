import test from 'ava'
import fc from 'fast-check'
import { Atomic, AtomicLong } from 'sluice'

import { Thread } from './support/thread.ts'

let last = 0
const name = (): string => `atomic ${++last}`

test('Atomic counts, sets and compares', (t) => {
  const atomic = new Atomic(name(), 5)
  t.is(atomic.get(), 5)
  t.is(atomic.add(), 6)
  t.is(atomic.add(10), 16)
  t.is(atomic.sub(), 15)
  t.is(atomic.sub(20), -5)
  atomic.set(7)
  t.false(atomic.compareSet(8, 1))
  t.is(atomic.get(), 7)
  t.true(atomic.compareSet(7, 1))
  t.is(atomic.get(), 1)
})

test('AtomicLong counts, sets and compares', (t) => {
  const atomic = new AtomicLong(name(), 2n ** 53n)
  t.is(atomic.add(), 2n ** 53n + 1n)
  t.is(atomic.sub(2n ** 53n), 1n)
  atomic.set(-3n)
  t.false(atomic.compareSet(3n, 1n))
  t.true(atomic.compareSet(-3n, 4n))
  t.is(atomic.get(), 4n)
})

test('both wrap around, as the types of their sizes do', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer()), { maxLength: 30 }), fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { maxLength: 30 }), (steps, long) => {
      const int32 = new Atomic('wraps', 0)
      int32.set(0)
      const model = new Int32Array(1)
      for (const [isSub, n] of steps) {
        model[0]! += isSub ? -n : n
        t.is(isSub ? int32.sub(n) : int32.add(n), model[0]!)
      }
      const int64 = new AtomicLong('wraps too')
      int64.set(0n)
      const longModel = new BigInt64Array(1)
      for (const n of long) {
        longModel[0]! += n
        t.is(int64.add(n), longModel[0]!)
      }
      t.is(int64.get(), longModel[0]!)
    }),
  )
})

test('a name is one number in all threads, and its first initial value counts', async (t) => {
  const [one, other] = [new Thread(t), new Thread(t)]
  const shared = name()
  const mine = new Atomic(shared, 3)
  t.is(await one.run(`return (state.a = new sluice.Atomic(args[0], 9)).add(4)`, shared), 7)
  t.is(mine.get(), 7)
  const many = `for (let turn = 0; turn < 20000; turn += 1) new sluice.Atomic(args[0]).add(); for (let turn = 0; turn < 20000; turn += 1) new sluice.AtomicLong(args[0] + ' long').sub()`
  await Promise.all([one.run(many, shared), other.run(many, shared)])
  t.is(mine.get(), 40_007)
  t.is(new AtomicLong(`${shared} long`).get(), -40_000n)
  await one.terminate()
  t.is(mine.get(), 40_007, 'it outlives threads')
})

test('wait() is true at once when the value is another, and false when its time is over', async (t) => {
  const atomic = new Atomic(name(), 1)
  t.true(await atomic.wait(0))
  t.false(await atomic.wait(1, { timeout: 5 }))
  t.is(atomic.wake(), 0, 'nobody waits any more')
})

test('wake() wakes those who have waited longest, in any thread', async (t) => {
  const atomic = new Atomic(name())
  const thread = new Thread(t)
  const woken: string[] = []
  const waits = (who: string): Promise<void> => atomic.wait(0).then((isWoken) => void woken.push(`${who} ${isWoken}`))
  const first = waits('first')
  await thread.run(`state.wait = new sluice.Atomic(args[0]).wait(0)`, atomic.name)
  const third = waits('third')
  t.is(atomic.wake(2), 2)
  await first
  t.true(await thread.run('return state.wait'))
  t.deepEqual(woken, ['first true'])
  t.is(atomic.wake(0), 0)
  t.is(atomic.wake(), 1)
  await third
})

test('who changes the value and then wakes misses nobody', async (t) => {
  const ping = new Atomic(name())
  const pong = new Atomic(name())
  const thread = new Thread(t)
  const echo = thread.run(
    `
    const [ping, pong] = args.map((name) => new sluice.Atomic(name))
    for (let turn = 1; turn <= 500; turn += 1) {
      while (ping.get() < turn) await ping.wait(turn - 1)
      pong.set(turn)
      pong.wake()
    }`,
    ping.name,
    pong.name,
  )
  for (let turn = 1; turn <= 500; turn += 1) {
    ping.set(turn)
    ping.wake()
    while (pong.get() < turn) await pong.wait(turn - 1)
  }
  await echo
  t.is(pong.get(), 500)
})

test('a wake that crosses with an abort is not lost', async (t) => {
  const atomic = new Atomic(name())
  const abort = new AbortController()
  const waits = atomic.wait(0, { signal: abort.signal })
  t.is(atomic.wake(1), 1)
  abort.abort()
  t.true(await waits)
})

test('wait() rejects with the reason of its signal, and waits no longer', async (t) => {
  const atomic = new Atomic(name())
  await t.throwsAsync(atomic.wait(0, { signal: AbortSignal.abort(new Error('before')) }), { message: 'before' })
  const abort = new AbortController()
  const waits = atomic.wait(0, { signal: abort.signal })
  abort.abort(new Error('while'))
  await t.throwsAsync(waits, { message: 'while' })
  t.is(atomic.wake(), 0)
})

test('a thread that ends waits no longer', async (t) => {
  const atomic = new Atomic(name())
  const thread = new Thread(t)
  await thread.run(`for (let n = 0; n < 3; n += 1) new sluice.Atomic(args[0]).wait(0)`, atomic.name)
  await thread.terminate()
  t.is(atomic.wake(), 0)
})

// Before the others: nobody else could wait meanwhile.
test.serial('more than 65536 who wait are refused', async (t) => {
  const atomic = new Atomic(name())
  const waits = Array.from({ length: 65_536 }, () => atomic.wait(0))
  await t.throwsAsync(atomic.wait(0), { code: 'ERR_SLUICE_WAIT_LIMIT' })
  t.is(atomic.wake(), 65_536)
  t.true((await Promise.all(waits)).every(Boolean))
})

test('wrong arguments are refused', async (t) => {
  const expected = { code: 'ERR_SLUICE_INVALID_ARG' }
  t.throws(() => new Atomic(''), { instanceOf: TypeError, ...expected })
  t.throws(() => new Atomic('é'.repeat(33)), { ...expected, message: /66 bytes/ })
  t.notThrows(() => new Atomic('é'.repeat(32)))
  t.throws(() => new Atomic(7 as never), expected)
  t.throws(() => new Atomic('a', 1.5), { instanceOf: RangeError, ...expected })
  t.throws(() => new AtomicLong('b', 1 as never), { instanceOf: TypeError, ...expected })
  const atomic = new Atomic(name())
  t.throws(() => new AtomicLong(atomic.name), { ...expected, message: /is an Atomic, not an AtomicLong/ })
  for (const wrong of [2 ** 31, -(2 ** 31) - 1, 0.5, Number.NaN, '1' as never, 1n as never]) {
    t.throws(() => atomic.add(wrong), expected)
    t.throws(() => atomic.set(wrong), expected)
    await t.throwsAsync(atomic.wait(wrong), expected)
  }
  t.throws(() => atomic.wake(-1), expected)
  t.throws(() => new AtomicLong(name()).add(1 as never), expected)
})

test('the 8193rd name is refused, and those before go on', async (t) => {
  // In a program of its own: names are never given back.
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  const code = `
    import { Atomic } from 'sluice'
    for (let n = 0; n < 8192; n += 1) new Atomic('name ' + n, n)
    try { new Atomic('one more') } catch (error) { console.log(error instanceof RangeError, error.code) }
    console.log(new Atomic('name 4711').get())`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { cwd: new URL('..', import.meta.url) })
  t.is(stdout, 'true ERR_SLUICE_ATOMIC_FULL\n4711\n')
})

test('processes with one directory of tables share atomics and rate limits', async (t) => {
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  const { mkdtemp, rm, writeFile } = await import('node:fs/promises')
  const { tmpdir } = await import('node:os')
  const directory = await mkdtemp(`${tmpdir()}/sluice-atomics-`)
  t.teardown(() => rm(directory, { recursive: true }))
  const program = async (code: string): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', `import { Atomic, AtomicLong, rateLimit } from 'sluice'; ${code}`], { cwd: new URL('..', import.meta.url), env: { ...process.env, SLUICE_TABLES: directory } })
    return stdout.trim()
  }
  const count = `console.log(new Atomic('a', 5).add(), new AtomicLong('b').sub(), rateLimit('per client', { limit: 2, per: 86400000, keys: 100 }).take('a').remaining)`
  // The second runs while the first lives: the tokens are gone with the last process that has them.
  const output = await program(`
    import { execFileSync } from 'node:child_process'
    ${count}
    if (!process.env.SECOND) execFileSync(process.execPath, process.execArgv, { env: { ...process.env, SECOND: '1' }, stdio: 'inherit' })`)
  t.is(output, '6 -1n 1\n7 -2n 0')
  await writeFile(`${directory}/atomics.cells`, 'something else')
  t.is(await program(`try { new Atomic('a') } catch (error) { console.log(error.code, error.message.includes('${directory}/atomics.cells')) }`), 'ERR_SLUICE_TABLE_FILE true')
})
