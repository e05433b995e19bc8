/** What TypeScript knows of a table: this file has to compile. */
import test from 'ava'
import { defineConfig, defineTable, t as column, table, type RowOf, type Table, type Tables } from 'sluice'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(value: Same<A, B>): boolean => value

const users = defineTable('types-spec', { size: 1024, columns: { value: column.int(), name: column.string(64), ok: column.bool(), total: column.bigint(), x: column.float(), raw: column.bytes(4) } })
type Row = { value: number; name: string; ok: boolean; total: bigint; x: number; raw: Uint8Array }

test('columns have the types of their values', (t) => {
  const value: number | undefined = users.get('uid:1', 'value')
  const name: string | undefined = users.get('uid:1')?.name
  t.deepEqual([value, name], [undefined, undefined])
  t.true(same<ReturnType<typeof users.getDelete>, Row | undefined>(true))
  t.true(same<RowOf<{ a: ReturnType<typeof column.bigint>; b: ReturnType<typeof column.int> }>, { a: bigint; b: number }>(true))
  const sum: number = users.incr('uid:1', 'value')
  const total: bigint = users.incr('uid:1', 'total', 5n)
  t.deepEqual([sum, total], [1, 5n])
  users.compareSet('a', { value: 1 }, { name: 'x' })
  for (const [key, row] of users) t.deepEqual([typeof key, typeof row.ok], ['string', 'boolean'])
})

test('what does not fit does not compile', (t) => {
  // @ts-expect-error strings cannot be incremented
  t.throws(() => users.incr('uid:1', 'name'))
  // @ts-expect-error a bigint column takes bigints
  t.throws(() => users.incr('uid:1', 'total', 1))
  // @ts-expect-error there is no such column
  t.throws(() => users.get('uid:1', 'nmae'))
  // @ts-expect-error text is no number
  t.throws(() => users.set('uid:1', { value: 'x' }))
  // @ts-expect-error text is no number
  t.throws(() => users.set('uid:1', 'value', 'x'))
  // @ts-expect-error a string needs a size
  t.throws(() => table({ size: 1, columns: { a: column.string() } }))
})

test('tables of the configuration have any columns', (t) => {
  const config = defineConfig({ app: './app.js', tables: { ws: table({ size: 1024, columns: { value: column.int() } }) } })
  t.truthy(config)
  const use = (tables: Tables): number | undefined => tables['ws']?.incr('a', 'value')
  const assignable: Table | undefined = users
  t.is(use({ ws: assignable }), 1)
})
