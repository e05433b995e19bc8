import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Lock, type Held } from 'sluice'

import { ask, next, startServer } from './support/server.ts'
import { Thread } from './support/thread.ts'

/** Lets every promise that can go on do so, and mail arrive that was sent. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate)
}

test('acquire() grants a lock to one at a time, in the order in which it was asked for', async (t) => {
  const lock = new Lock('order')
  const order: string[] = []
  const first = await lock.acquire()
  const others = ['a', 'b', 'c'].map(async (name) => {
    const held = await lock.acquire()
    order.push(name)
    await settle()
    held.release()
  })
  await settle()
  t.deepEqual(order, [])
  first.release()
  await Promise.all(others)
  t.deepEqual(order, ['a', 'b', 'c'])
})

test('a lock of one name is one lock in all threads', async (t) => {
  const thread = new Thread(t)
  const lock = new Lock('threads')
  const mine = await lock.acquire()
  t.is(await thread.run(`return new sluice.Lock('threads').tryAcquire() === undefined`), true)
  const theirs = thread.run<number>(`state.held = await new sluice.Lock('threads').acquire(); return state.held.fence`)
  // Answered after the request for the lock was made.
  await thread.run('')
  mine.release()
  t.true((await theirs) > mine.fence)
  t.is(lock.tryAcquire(), undefined)
  await thread.run('state.held.release()')
  const again = lock.tryAcquire()
  t.true(again !== undefined)
  again?.release()
})

test('between threads nobody is inside together, and no increment is lost', async (t) => {
  const counter = new SharedArrayBuffer(8)
  const threads = [new Thread(t), new Thread(t), new Thread(t)]
  await Promise.all(
    threads.map((thread) =>
      thread.run(
        `
        const words = new Int32Array(args[0])
        const lock = new sluice.Lock('counter')
        for (let turn = 0; turn < 200; turn += 1) {
          await lock.run(async () => {
            if (Atomics.add(words, 0, 1) !== 0) throw new Error('somebody else is inside')
            const before = words[1]
            await null
            words[1] = before + 1
            Atomics.sub(words, 0, 1)
          })
        }`,
        counter,
      ),
    ),
  )
  t.is(new Int32Array(counter)[1], 600)
})

test('readers share a lock, and a writer that waits is not overtaken by readers', async (t) => {
  const lock = new Lock('shared')
  const readers = [await lock.acquire({ shared: true }), await lock.acquire({ shared: true })]
  const order: string[] = []
  const writer = lock.acquire().then((held) => (order.push('writer'), held))
  const late = lock.acquire({ shared: true }).then((held) => (order.push('reader'), held))
  t.is(lock.tryAcquire({ shared: true }), undefined)
  for (const reader of readers) reader.release()
  const held = await writer
  await settle()
  t.deepEqual(order, ['writer'])
  held.release()
  ;(await late).release()
  t.deepEqual(order, ['writer', 'reader'])
})

test('acquire() rejects when its time is over, and leaves the line', async (t) => {
  const lock = new Lock('timeout')
  const held = await lock.acquire()
  await t.throwsAsync(lock.acquire({ timeout: 5 }), { code: 'ERR_SLUICE_LOCK_TIMEOUT', message: 'Lock "timeout" was not granted within 5 ms' })
  held.release()
  const again = lock.tryAcquire()
  t.true(again !== undefined, 'nobody is in line')
  again?.release()
})

test('acquire() rejects with the reason of its signal, before and while it waits', async (t) => {
  const lock = new Lock('signal')
  await t.throwsAsync(lock.acquire({ signal: AbortSignal.abort(new Error('before')) }), { message: 'before' })
  const held = await lock.acquire()
  const abort = new AbortController()
  const waits = lock.acquire({ signal: abort.signal })
  const next = lock.acquire()
  await settle()
  abort.abort(new Error('while'))
  await t.throwsAsync(waits, { message: 'while' })
  held.release()
  ;(await next).release()
})

test('a grant that crosses with a timeout is not lost', async (t) => {
  const lock = new Lock('crossing')
  for (let turn = 0; turn < 200; turn += 1) {
    const held = await lock.acquire()
    const abort = new AbortController()
    const waits = lock.acquire({ signal: abort.signal })
    // The grant lies in the mailbox when the signal fires.
    held.release()
    abort.abort(new Error('crossed'))
    await t.throwsAsync(waits, { message: 'crossed' })
  }
  const held = lock.tryAcquire()
  t.true(held !== undefined)
  held?.release()
})

test('a lock is given back by release(), as `using` does it, and by run() whatever comes of it', async (t) => {
  const lock = new Lock('given back')
  const isFree = (): boolean => {
    const held = lock.tryAcquire()
    held?.release()
    return held !== undefined
  }
  const held = await lock.acquire()
  held.release()
  held.release()
  t.true(isFree())
  // What `using` calls; Node.js 20 cannot parse the word itself.
  const inside: Held & Disposable = await lock.acquire()
  t.false(isFree())
  inside[Symbol.dispose]()
  t.true(isFree())
  t.is(await lock.run(() => 7), 7)
  t.true(isFree())
  await t.throwsAsync(lock.run(() => Promise.reject(new Error('inside'))), { message: 'inside' })
  t.true(isFree())
})

test('a second release() does not give back what somebody else has by now', async (t) => {
  const lock = new Lock('twice')
  const first = await lock.acquire()
  first.release()
  const second = await lock.acquire()
  first.release()
  t.is(lock.tryAcquire(), undefined)
  second.release()
})

test('the fence grows with every grant, and over the start of a process', async (t) => {
  const started = Date.now() * 1000
  let last = 0
  for (const name of ['x', 'y', 'x']) {
    const held = await new Lock(name).acquire()
    t.true(held.fence > last && Number.isSafeInteger(held.fence))
    last = held.fence
    held.release()
  }
  t.true(last > started - 3_600_000_000, 'it starts at the clock')
})

for (const [way, code] of Object.entries({ 'terminate()': '', 'process.exit()': 'process.exit(3)', 'an uncaught error': 'setTimeout(() => { throw new Error("bye") }, 0)' })) {
  test(`a lock passes on when its holder's thread ends by ${way}, and those who waited there are forgotten`, async (t) => {
    const holder = new Thread(t)
    const name = `death by ${way}`
    await holder.run(`state.held = await new sluice.Lock(args[0]).acquire()`, name)
    const waiter = new Lock(name).acquire({ timeout: 20_000 })
    holder.tell(`await new sluice.Lock('${name}').acquire()`)
    await holder.run('')
    if (code === '') await holder.terminate()
    else holder.tell(code)
    await holder.exited
    const held = await waiter
    held.release()
    const again = new Lock(name).tryAcquire()
    t.true(again !== undefined, 'nobody is in line')
    again?.release()
  })
}

test('threads that end while locks go round leave nothing held and nobody waiting', async (t) => {
  const names = ['round 1', 'round 2']
  for (let round = 0; round < 6; round += 1) {
    const threads = [new Thread(t), new Thread(t)]
    for (const thread of threads) {
      await thread.run('')
      thread.tell(`
        const locks = ${JSON.stringify(names)}.map((name) => new sluice.Lock(name))
        for (const lock of locks) for (let n = 0; n < 4; n += 1) (async () => { for (;;) await lock.run(() => new Promise(setImmediate), { shared: n % 2 === 0 }) })()
      `)
    }
    for (const name of names) (await new Lock(name).acquire({ timeout: 20_000 })).release()
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
  for (const name of names) {
    const held = new Lock(name).tryAcquire()
    t.true(held !== undefined, name)
    held?.release()
  }
})

const { serial } = test
for (const way of ['throw', 'exit', 'loop', 'wait', 'reload'] as const) {
  serial(`a worker's lock passes on after ${way}`, async (t) => {
    const server = await startServer(t, { app: new URL('fixtures/lock-holder.mjs', import.meta.url), workers: 1, stuckAfter: 500 })
    t.is((await ask(server, '/hold')).status, 200)
    const lock = new Lock('job')
    t.is(lock.tryAcquire(), undefined)
    const granted = lock.acquire({ timeout: 20_000 })
    if (way === 'reload') {
      t.true((await server.reload()).ok)
    } else {
      const death = next(server, 'workerError')
      await ask(server, `/die/${way}`, 'POST')
      await death
    }
    ;(await granted).release()
  })
}

serial("the lock of a worker that hangs where nothing can end it passes on when the core declares it lost", async (t) => {
  const server = await startServer(t, { app: new URL('fixtures/lock-holder.mjs', import.meta.url), workers: 1, stuckAfter: 300 })
  t.is((await ask(server, '/hold')).status, 200)
  const blocked = ask(server, '/block', 'POST').catch(() => undefined)
  // Well before the four seconds that the call lasts.
  ;(await new Lock('job').acquire({ timeout: 2_500 })).release()
  await blocked
})

test('a wait keeps a program alive, a lock that is held does not', async (t) => {
  const run = async (code: string): Promise<string> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', `import { Lock } from 'sluice'; ${code}`], { cwd: fileURLToPath(new URL('..', import.meta.url)), stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    const [exitCode] = await once(child, 'close')
    return `${exitCode} ${output.trim()}`
  }
  t.is(await run(`await new Lock('a').acquire(); console.log('held')`), '0 held')
  t.is(
    await run(`
      const lock = new Lock('a')
      const held = await lock.acquire()
      setTimeout(() => held.release(), 20).unref()
      const beat = setInterval(() => {}, 5).unref()
      ;(await lock.acquire()).release()
      console.log('granted')`),
    '0 granted',
  )
})

test('wrong arguments are refused', async (t) => {
  t.throws(() => new Lock(''), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => new Lock('x'.repeat(256)), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.notThrows(() => new Lock('x'.repeat(255)))
  t.throws(() => new Lock(7 as never), { code: 'ERR_SLUICE_INVALID_ARG', message: /got number$/ })
  for (const timeout of [-1, Number.NaN, 2 ** 31, '5' as never]) {
    await t.throwsAsync(new Lock('a').acquire({ timeout }), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  }
})

test('more than 16384 waiters of one lock are refused', async (t) => {
  const lock = new Lock('crowd')
  const held = await lock.acquire()
  const abort = new AbortController()
  const { signal } = abort
  const waits = Array.from({ length: 16_384 }, () => lock.acquire().then((held) => held.release()))
  await t.throwsAsync(lock.acquire({ signal }), { code: 'ERR_SLUICE_WAIT_LIMIT' })
  held.release()
  await Promise.all(waits)
  t.true(lock.tryAcquire() !== undefined)
})
