import test from 'ava'

import { Deferred } from '../../src-ts/process/deferred.ts'
import { JoinedRuns, prepareAll } from '../../src-ts/process/reload.ts'
import { settle } from './fake-clock.ts'

/** Seats whose preparations the test ends one by one. */
function stage(concurrency: number) {
  const begun = new Map<number, Deferred<string>>()
  const discarded: string[] = []
  const stop = new AbortController()
  const run = (seats: number[]) =>
    prepareAll(seats, {
      prepare: async (seat, signal) => {
        const one = new Deferred<string>()
        begun.set(seat, one)
        signal.addEventListener('abort', () => one.reject(signal.reason), { once: true })
        return one.promise
      },
      discard: (one) => discarded.push(one),
      concurrency,
      signal: stop.signal,
    })
  return { begun, discarded, run, stop, finish: async (seat: number) => (begun.get(seat)?.resolve(`new ${seat}`), settle()) }
}

test('prepareAll() starts the first alone, then as many as `concurrency` says', async (t) => {
  const { begun, run, finish } = stage(2)
  const all = run([0, 1, 2, 3])
  await settle()
  t.deepEqual([...begun.keys()], [0])
  await finish(0)
  t.deepEqual([...begun.keys()], [0, 1, 2])
  await finish(2)
  t.deepEqual([...begun.keys()], [0, 1, 2, 3])
  await finish(1)
  await finish(3)
  t.deepEqual(await all, ['new 0', 'new 1', 'new 2', 'new 3'])
})

test('prepareAll() ends with the first worker when that fails', async (t) => {
  const { begun, discarded, run } = stage(4)
  const all = run([0, 1, 2])
  await settle()
  begun.get(0)?.reject(new Error('no start'))
  await t.throwsAsync(all, { message: 'no start' })
  t.deepEqual([...begun.keys()], [0])
  t.deepEqual(discarded, [])
})

test('prepareAll() discards what is prepared and gives up what is not when a later worker fails', async (t) => {
  const { begun, discarded, run, finish } = stage(2)
  const all = run([0, 1, 2, 3])
  await settle()
  await finish(0)
  await finish(1)
  begun.get(2)?.reject(new Error('the third'))
  await t.throwsAsync(all, { message: 'the third' })
  t.deepEqual(discarded.sort(), ['new 0', 'new 1'])
  await t.throwsAsync(begun.get(3)!.promise, { message: 'the third' })
})

test('prepareAll() gives up when its signal aborts, also after the last worker was ready', async (t) => {
  const { discarded, run, stop, finish } = stage(1)
  const all = run([0, 1])
  await settle()
  await finish(0)
  stop.abort(new Error('enough'))
  await t.throwsAsync(all, { message: 'enough' })
  t.deepEqual(discarded, ['new 0'])
})

test('calls during a run are joined into one run after it, with the last options', async (t) => {
  const gates: { options: string; end: Deferred<string> }[] = []
  const runs = new JoinedRuns((options: string) => {
    const end = new Deferred<string>()
    gates.push({ options, end })
    return end.promise
  })
  const first = runs.call('a')
  const second = runs.call('b')
  const third = runs.call('c')
  t.is(gates.length, 1)
  gates[0]?.end.reject(new Error('a failed'))
  await t.throwsAsync(first, { message: 'a failed' })
  await settle()
  t.deepEqual(gates.map(({ options }) => options), ['a', 'c'])
  gates[1]?.end.resolve('done')
  t.deepEqual(await Promise.all([second, third]), ['done', 'done'])
  void runs.call('d')
  t.deepEqual(gates.map(({ options }) => options), ['a', 'c', 'd'])
})

test('two calls that wait become one run for what either was for', async (t) => {
  const gate = new Deferred()
  const runs: string[] = []
  const joined = new JoinedRuns(
    async (options: string) => {
      runs.push(options)
      await gate.promise
    },
    (earlier, later) => `${earlier}+${later}`,
  )
  const all = [joined.call('a'), joined.call('b'), joined.call('c')]
  gate.resolve(undefined)
  await Promise.all(all)
  t.deepEqual(runs, ['a', 'b+c'])
})
