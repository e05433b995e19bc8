import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import test from 'ava'
import { defineTable, t as column, type TableEvent } from 'sluice'

const spec = { size: 1000, columns: { n: column.int() } } as const

async function take(events: AsyncIterableIterator<TableEvent>, count: number): Promise<TableEvent[]> {
  const taken: TableEvent[] = []
  while (taken.length < count) {
    const { done, value } = await events.next()
    if (done) break
    taken.push(value)
  }
  return taken
}

test('watch() tells of sets, deletes and ends of rows with the prefix, in order, from the call on', async (t) => {
  const table = defineTable('watch-order', spec)
  table.set('user:0', { n: 0 })
  const events = table.watch('user:')
  table.set('user:1', { n: 1 })
  table.set('other', { n: 1 })
  table.incr('user:1', 'n')
  table.delete('user:1')
  table.set('user:2', { n: 1 }, { ttl: 1 })
  t.deepEqual(await take(events, 5), [
    { type: 'set', key: 'user:1' },
    { type: 'set', key: 'user:1' },
    { type: 'delete', key: 'user:1' },
    { type: 'set', key: 'user:2' },
    // Nobody touches it.
    { type: 'expire', key: 'user:2' },
  ])
  t.deepEqual(await events.return?.(), { done: true, value: undefined })
  t.deepEqual(await events.next(), { done: true, value: undefined })
})

test('watch() tells of what another thread does', async (t) => {
  const table = defineTable('watch-thread', spec)
  const events = table.watch()
  const worker = new Worker(`import(${JSON.stringify(import.meta.resolve('sluice'))}).then(({ defineTable, t }) => defineTable('watch-thread', { size: 1000, columns: { n: t.int() } }).set('there', { n: 1 }))`, { eval: true })
  // It may have ended before its event is read.
  const exited = once(worker, 'exit')
  t.deepEqual(await take(events, 1), [{ type: 'set', key: 'there' }])
  await exited
  await events.return?.()
  table.clear()
})

test('watch() ends with the signal, whose reason is thrown, also while it waits', async (t) => {
  const table = defineTable('watch-signal', spec)
  const controller = new AbortController()
  const waiting = take(table.watch('', { signal: controller.signal }), 1)
  const reason = new Error('enough')
  controller.abort(reason)
  t.is(await t.throwsAsync(waiting), reason)
  t.is(await t.throwsAsync(take(table.watch('', { signal: controller.signal }), 1)), reason)
})

test('a reader that is too slow learns how many events it missed', async (t) => {
  const table = defineTable('watch-slow', spec)
  const events = table.watch()
  const all = 20_000
  for (let number = 0; number < all; number++) table.set(`key-${number % 500}`, { n: number })
  let told = 0
  let missed = 0
  while (told + missed < all) {
    const { value } = await events.next()
    if (value?.type === 'missed') missed += value.count
    else told++
  }
  t.is(told + missed, all)
  t.true(told > 0)
  await events.return?.()
})

test('a loop that breaks ends its watch, and more watches than there may be are refused', async (t) => {
  const table = defineTable('watch-many', spec)
  const watches = Array.from({ length: 1024 }, () => table.watch())
  t.throws(() => table.watch(), { code: 'ERR_SLUICE_INVALID_STATE' })
  for (const events of watches) await events.return?.()
  const events = table.watch()
  table.set('a', { n: 1 })
  for await (const event of events) {
    t.deepEqual(event, { type: 'set', key: 'a' })
    break
  }
  t.deepEqual(await events.next(), { done: true, value: undefined })
  t.throws(() => table.watch(1 as never), { code: 'ERR_SLUICE_INVALID_ARG' })
})
