/** Random calls on a table and on a Map, which must agree. */
import fc from 'fast-check'
import test from 'ava'
import { defineTable, t as column, type RowOf } from 'sluice'

const SIZE = 12
const columns = { id: column.int(), total: column.bigint(), x: column.float(), ok: column.bool(), name: column.string(12), raw: column.bytes(6) } as const
type Row = RowOf<typeof columns>
const empty: Row = { id: 0, total: 0n, x: 0, ok: false, name: '', raw: Buffer.alloc(0) }
const table = defineTable('model-spec', { size: SIZE, columns })

const key = fc.oneof(fc.constantFrom('a', 'b', 'c', 'ab', 'abc', '日', '日本', 'k'.repeat(255)), fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }))
const safe = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -2, max: 2 }))
const partial = fc.record(
  {
    id: safe,
    total: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    x: fc.double(),
    ok: fc.boolean(),
    name: fc.string({ unit: 'binary', maxLength: 3 }),
    raw: fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Partial<Row>>

type Step = (model: Map<string, Row>) => readonly [real: unknown, expected: unknown]

/** What a call gives, or the code of its error. */
function outcome(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

const isFull = (model: Map<string, Row>, key: string): boolean => model.size === SIZE && !model.has(key)
const FULL = 'ERR_SLUICE_TABLE_FULL'
const isAs = (row: Row | undefined, expected: Partial<Row>): boolean =>
  row !== undefined &&
  Object.entries(expected).every(([name, value]) => {
    const now = row[name as keyof Row]
    return value instanceof Uint8Array ? Buffer.compare(now as Uint8Array, value) === 0 : now === value || Object.is(now, value)
  })

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(key, partial).map(([key, row]): Step => (model) => {
    const real = outcome(() => table.set(key, row))
    if (isFull(model, key)) return [real, FULL]
    model.set(key, { ...empty, ...model.get(key), ...row })
    return [real, undefined]
  }),
  fc.tuple(key, partial).map(([key, row]): Step => (model) => {
    const real = outcome(() => table.add(key, row))
    if (model.has(key)) return [real, false]
    if (isFull(model, key)) return [real, FULL]
    model.set(key, { ...empty, ...row })
    return [real, true]
  }),
  fc.tuple(key, partial).map(([key, row]): Step => (model) => {
    const before = model.get(key)
    if (before) model.set(key, { ...before, ...row })
    return [table.update(key, row), before !== undefined]
  }),
  fc.tuple(key, partial, partial).map(([key, expected, row]): Step => (model) => {
    const before = model.get(key)
    const isMet = isAs(before, expected)
    if (before && isMet) model.set(key, { ...before, ...row })
    return [table.compareSet(key, expected, row), isMet]
  }),
  fc.tuple(key, partial).map(([key, expected]): Step => (model) => {
    const isMet = isAs(model.get(key), expected)
    if (isMet) model.delete(key)
    return [table.compareDelete(key, expected), isMet]
  }),
  key.map((key): Step => (model) => [table.get(key), model.get(key)]),
  fc.tuple(key, fc.constantFrom(...(Object.keys(columns) as (keyof Row)[]))).map(([key, name]): Step => (model) => [table.get(key, name), model.get(key)?.[name]]),
  key.map((key): Step => (model) => {
    const before = model.get(key)
    model.delete(key)
    return [table.getDelete(key), before]
  }),
  key.map((key): Step => (model) => [table.delete(key), model.delete(key)]),
  key.map((key): Step => (model) => [table.has(key), model.has(key)]),
  fc.tuple(key, safe, fc.boolean()).map(([key, by, isDown]): Step => (model) => {
    const real = outcome(() => (isDown ? table.decr(key, 'id', by) : table.incr(key, 'id', by)))
    if (isFull(model, key)) return [real, FULL]
    const before = model.get(key) ?? empty
    const sum = isDown ? before.id - by : before.id + by
    if (!Number.isSafeInteger(sum)) return [real, 'ERR_SLUICE_TABLE_INTEGER']
    model.set(key, { ...before, id: sum === 0 ? 0 : sum })
    return [real, sum === 0 ? 0 : sum]
  }),
  fc.tuple(key, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(([key, by]): Step => (model) => {
    const real = outcome(() => table.incr(key, 'total', by))
    if (isFull(model, key)) return [real, FULL]
    const before = model.get(key) ?? empty
    const total = BigInt.asIntN(64, before.total + by)
    model.set(key, { ...before, total })
    return [real, total]
  }),
  fc.oneof(fc.constant(''), key).map((prefix): Step => (model) => [
    [...table.keys(prefix)].sort(),
    [...model.keys()].filter((key) => Buffer.from(key).subarray(0, Buffer.byteLength(prefix)).equals(Buffer.from(prefix))).sort(),
  ]),
  fc.constant<Step>((model) => [new Map([...table].sort(([a], [b]) => (a < b ? -1 : 1))), new Map([...model].sort(([a], [b]) => (a < b ? -1 : 1)))]),
  fc.constant<Step>((model) => [table.size, model.size]),
)

test('whatever is called, a table does what a Map does', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      table.clear()
      const model = new Map<string, Row>()
      for (const run of steps) {
        const [real, expected] = run(model)
        if (!t.deepEqual(real, expected)) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
})
