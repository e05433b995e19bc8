import test from 'ava'
import { defineTable, t as column, type BigintColumn, type Columns, type IntColumn, type Table, type TableSpec, type RowOf } from 'sluice'

let made = 0
/** A table that no other test has: they live as long as the process. */
function fresh<const C extends Columns>(spec: TableSpec<C>): Table<RowOf<C>, C> {
  return defineTable(`table-spec-${made++}`, spec)
}

const columns = { id: column.int(), total: column.bigint(), score: column.float(), ok: column.bool(), name: column.string(8), raw: column.bytes(4) } as const
const empty = { id: 0, total: 0n, score: 0, ok: false, name: '', raw: Buffer.alloc(0) }
const whole = { id: -5, total: 1n << 60n, score: 2.5, ok: true, name: 'Zoë', raw: Buffer.from([0, 255]) }

test('get() gives a whole row, one column, or undefined', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', whole)
  t.deepEqual(table.get('a'), whole)
  for (const [name, value] of Object.entries(whole)) t.deepEqual(table.get('a', name as keyof typeof whole), value)
  t.is(table.get('b'), undefined)
  t.is(table.get('b', 'id'), undefined)
  t.is(table.get('b', 'total'), undefined)
})

test('a row that was read is the reader\'s own', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', whole)
  const row = table.get('a')!
  row.raw[0] = 7
  row.id = 7
  t.deepEqual(table.get('a'), whole)
  table.set('a', 'name', 'other')
  t.is(row.name, 'Zoë')
})

test('set() makes a row of zeros and empty values but for what is given, and merges into one that is there', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', {})
  t.deepEqual(table.get('a'), empty)
  table.set('a', { name: 'one', id: 1 })
  table.set('a', { score: 0.5, id: undefined as never })
  t.deepEqual(table.get('a'), { ...empty, name: 'one', id: 1, score: 0.5 })
  t.is(table.size, 1)
})

test('set() with a column sets that one', (t) => {
  const table = fresh({ size: 8, columns })
  for (const [name, value] of Object.entries(whole)) table.set('a', name as 'id', value as never)
  t.deepEqual(table.get('a'), whole)
})

test('add() makes rows only, update() changes rows only', (t) => {
  const table = fresh({ size: 8, columns })
  t.false(table.update('a', { id: 1 }))
  t.false(table.has('a'))
  t.true(table.add('a', { id: 2 }))
  t.false(table.add('a', { id: 3 }))
  t.true(table.update('a', { name: 'x' }))
  t.deepEqual(table.get('a'), { ...empty, id: 2, name: 'x' })
})

test('compareSet() writes when all of what is expected is there', (t) => {
  const table = fresh({ size: 8, columns })
  t.false(table.compareSet('a', {}, { id: 1 }))
  table.set('a', whole)
  t.true(table.compareSet('a', { ...whole }, { id: 1, name: 'new' }))
  t.false(table.compareSet('a', { id: 1, name: 'ne' }, { id: 2 }))
  t.false(table.compareSet('a', { id: 1, raw: Buffer.from([0, 254]) }, { id: 2 }))
  t.true(table.compareSet('a', { name: 'new' }, { id: 3 }))
  t.deepEqual(table.get('a'), { ...whole, id: 3, name: 'new' })
})

test('compareDelete() deletes when all of what is expected is there', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', whole)
  t.false(table.compareDelete('a', { ok: false }))
  t.true(table.compareDelete('a', { ok: true, total: 1n << 60n }))
  t.false(table.compareDelete('a', {}))
  t.false(table.has('a'))
})

test('getDelete() gives the row once', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', whole)
  t.deepEqual(table.getDelete('a'), whole)
  t.is(table.getDelete('a'), undefined)
})

test('delete() and has() say whether there is a row', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', {})
  t.true(table.has('a'))
  t.true(table.delete('a'))
  t.false(table.has('a'))
  t.false(table.delete('a'))
})

test('incr() and decr() give the sum, and make a row that is not there', (t) => {
  const table = fresh({ size: 8, columns })
  t.is(table.incr('a', 'id'), 1)
  t.is(table.incr('a', 'id', 41), 42)
  t.is(table.decr('a', 'id', 50), -8)
  t.is(table.decr('a', 'id'), -9)
  t.is(table.incr('a', 'score', 0.25), 0.25)
  t.is(table.decr('a', 'score'), -0.75)
  t.is(table.incr('a', 'total'), 1n)
  t.is(table.decr('a', 'total', 3n), -2n)
  t.deepEqual(table.get('a'), { ...empty, id: -9, score: -0.75, total: -2n })
})

test('a bigint column wraps around, an int column refuses what no number holds', (t) => {
  const table = fresh({ size: 8, columns })
  const max = Number.MAX_SAFE_INTEGER
  table.set('a', { total: 2n ** 63n - 1n, id: max })
  t.is(table.incr('a', 'total'), -(2n ** 63n))
  table.set('a', { total: 2n ** 64n + 5n })
  t.is(table.get('a', 'total'), 5n)
  t.throws(() => table.incr('a', 'id'), { instanceOf: RangeError, code: 'ERR_SLUICE_TABLE_INTEGER' })
  t.is(table.get('a', 'id'), max)
  t.is(table.decr('a', 'id', max), 0)
  t.is(table.decr('a', 'id', max), -max)
  t.is(table.get('a')?.id, -max)
  t.throws(() => table.decr('a', 'id'), { code: 'ERR_SLUICE_TABLE_INTEGER' })
})

test('an int column that was written as bigint elsewhere fails to be read when it is not safe', (t) => {
  const as = (id: IntColumn | BigintColumn) => defineTable('table-spec-both', { size: 4, columns: { id } })
  const bigs = as(column.bigint()) as unknown as Table<{ id: bigint }>
  const numbers = as(column.int()) as unknown as Table<{ id: number }>
  for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)]) {
    bigs.set('a', { id: value })
    t.throws(() => numbers.get('a', 'id'), { instanceOf: RangeError, code: 'ERR_SLUICE_TABLE_INTEGER', message: new RegExp(String(value)) })
    t.throws(() => numbers.get('a'), { instanceOf: RangeError, code: 'ERR_SLUICE_TABLE_INTEGER', message: new RegExp(String(value)) })
  }
  for (const value of [2n ** 53n - 1n, -(2n ** 53n) + 1n, -1n, 2n ** 32n, -(2n ** 32n)]) {
    bigs.set('a', { id: value })
    t.is(numbers.get('a', 'id'), Number(value))
    t.is(numbers.get('a')?.id, Number(value))
    numbers.set('a', { id: Number(value) })
    t.is(bigs.get('a', 'id'), value)
    numbers.set('a', 'id', Number(value))
    t.is(bigs.get('a')?.id, value)
  }
})

test('doubles keep every value', (t) => {
  const table = fresh({ size: 4, columns: { x: column.float() } })
  for (const x of [Number.NaN, Infinity, -Infinity, -0, 5e-324, Number.MAX_VALUE, 0.1]) {
    table.set('a', { x })
    t.true(Object.is(table.get('a')?.x, x))
    t.true(Object.is(table.get('a', 'x'), x))
  }
})

test('keys and text are all of Unicode, with NUL; bytes are any', (t) => {
  const table = fresh({ size: 32, columns: { text: column.string(100), raw: column.bytes(256) } })
  const raw = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  for (const text of ['\0', 'a\0b', '日本語', '🦀', 'é'.repeat(40), 'x'.repeat(33), '\u007f\u0080']) {
    table.set(text, { text, raw })
    t.deepEqual(table.get(text), { text, raw })
    t.is(table.get(text, 'text'), text)
    table.set(text, 'text', text)
    t.is(table.get(text)?.text, text)
    t.deepEqual([...table.keys(text)], [text])
  }
})

test('a value may have as many bytes as its column, and none more', (t) => {
  const table = fresh({ size: 8, columns })
  for (const name of ['12345678', 'ääää', '日本ab', '🦀🦀']) {
    table.set('a', { name })
    t.is(table.get('a', 'name'), name)
    table.set('a', 'name', name)
    for (const long of [`${name}.`, `${name}ä`]) {
      const tooLong = { instanceOf: RangeError, code: 'ERR_SLUICE_TABLE_VALUE_TOO_LONG', message: /"name" .* 8 bytes.* has (9|10)/ }
      t.throws(() => table.set('a', { name: long, id: 9 }), tooLong)
      t.throws(() => table.set('a', 'name', long), tooLong)
    }
    t.like(table.get('a'), { name, id: 0 }, 'nothing was written')
  }
  table.set('a', 'raw', Buffer.alloc(4, 1))
  t.throws(() => table.set('a', 'raw', Buffer.alloc(5)), { code: 'ERR_SLUICE_TABLE_VALUE_TOO_LONG' })
  t.throws(() => table.set('a', { raw: Buffer.alloc(5) }), { code: 'ERR_SLUICE_TABLE_VALUE_TOO_LONG' })
})

test("onOverflow: 'truncate' cuts between characters", (t) => {
  const table = fresh({ size: 8, columns, onOverflow: 'truncate' })
  for (const [long, cut] of [['123456789', '12345678'], ['1234567ä', '1234567'], ['🦀🦀🦀', '🦀🦀'], ['x🦀🦀', 'x🦀'], ['日本語', '日本']] as const) {
    table.set('a', { name: long })
    t.is(table.get('a', 'name'), cut)
    table.set('b', 'name', long)
    t.is(table.get('b')?.name, cut)
  }
  table.set('a', { raw: Buffer.from([1, 2, 3, 4, 5]) })
  t.deepEqual(table.get('a')?.raw, Buffer.from([1, 2, 3, 4]))
  table.set('a', 'raw', Buffer.from([5, 4, 3, 2, 1]))
  t.deepEqual(table.get('a')?.raw, Buffer.from([5, 4, 3, 2]))
})

test('a shorter value leaves nothing of the longer one', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('a', { name: '12345678', raw: Buffer.alloc(4, 1) })
  table.set('a', { name: 'x', raw: Buffer.alloc(1) })
  t.like(table.get('a'), { name: 'x', raw: Buffer.alloc(1) })
  t.true(table.compareSet('a', { name: 'x' }, { id: 1 }))
})

test('a key has 1 to maxKey bytes', (t) => {
  const table = fresh({ size: 8, columns })
  table.set('k'.repeat(255), { id: 1 })
  t.is(table.get('k'.repeat(255), 'id'), 1)
  const wrong = { instanceOf: RangeError, code: 'ERR_SLUICE_TABLE_KEY' }
  t.throws(() => table.set('k'.repeat(256), { id: 1 }), { ...wrong, message: /255 bytes.* has 256/ })
  t.throws(() => table.get('ä'.repeat(150)), { ...wrong, message: /has 300/ })
  t.throws(() => table.get(''), wrong)
  t.throws(() => table.has('x'.repeat(100_000)), wrong)
  const short = fresh({ size: 8, columns, maxKey: 2 })
  short.set('ä', {})
  t.throws(() => short.set('äb', {}), { ...wrong, message: /2 bytes.* has 3/ })
})

const wrongCalls: [what: string, call: (table: Table) => unknown, code: string, message: RegExp][] = [
  ['a key that is no string', (table) => table.get(5 as never), 'ERR_SLUICE_INVALID_ARG', /must be a string/],
  ['a row that is no object', (table) => table.set('a', 5 as never), 'ERR_SLUICE_INVALID_ARG', /got 5/],
  ['no row', (table) => table.set('a', null as never), 'ERR_SLUICE_INVALID_ARG', /got null/],
  ['a misspelt column in get()', (table) => table.get('a', 'nmae'), 'ERR_SLUICE_TABLE_COLUMN', /no column "nmae", did you mean "name"/],
  ['a misspelt column in a row', (table) => table.set('a', { scroe: 1 }), 'ERR_SLUICE_TABLE_COLUMN', /did you mean "score"/],
  ['another column', (table) => table.set('a', 'zzz', 1), 'ERR_SLUICE_TABLE_COLUMN', /it has id, total/],
  ['text for an int', (table) => table.set('a', { id: '5' }), 'ERR_SLUICE_TABLE_COLUMN', /"id" .* takes a safe integer, got "5"/],
  ['a fraction for an int', (table) => table.set('a', 'id', 1.5), 'ERR_SLUICE_TABLE_INTEGER', /got 1\.5/],
  ['2^53 for an int', (table) => table.set('a', { id: 2 ** 53 }), 'ERR_SLUICE_TABLE_INTEGER', /got 9007199254740992/],
  ['a bigint for an int', (table) => table.set('a', { id: 5n }), 'ERR_SLUICE_TABLE_COLUMN', /got 5n/],
  ['a number for a bigint', (table) => table.set('a', 'total', 5), 'ERR_SLUICE_TABLE_COLUMN', /takes a bigint/],
  ['null for a float', (table) => table.set('a', { score: null }), 'ERR_SLUICE_TABLE_COLUMN', /got null/],
  ['1 for a bool', (table) => table.set('a', 'ok', 1), 'ERR_SLUICE_TABLE_COLUMN', /true or false/],
  ['bytes for a string', (table) => table.set('a', { name: Buffer.alloc(1) }), 'ERR_SLUICE_TABLE_COLUMN', /takes a string, got an object/],
  ['a list for bytes', (table) => table.set('a', 'raw', [1]), 'ERR_SLUICE_TABLE_COLUMN', /takes a Uint8Array, got a list/],
  ['incr() of text', (table) => table.incr('a', 'name'), 'ERR_SLUICE_TABLE_COLUMN', /cannot be counted/],
  ['incr() of a bigint by a number', (table) => table.incr('a', 'total', 1), 'ERR_SLUICE_TABLE_COLUMN', /bigint/],
  ['incr() by a fraction', (table) => table.incr('a', 'id', 0.5), 'ERR_SLUICE_TABLE_INTEGER', /0\.5/],
  ['a wrong ttl', (table) => table.set('a', {}, { ttl: 0.5 }), 'ERR_SLUICE_INVALID_ARG', /`ttl` .* got 0\.5/],
  ['a long prefix', (table) => [...table.keys('x'.repeat(256))], 'ERR_SLUICE_TABLE_KEY', /has 256/],
]
const refusing = fresh({ size: 8, columns }) as Table
for (const [what, call, code, message] of wrongCalls) {
  test(`${what} is refused and nothing is written`, (t) => {
    t.throws(() => call(refusing), { code, message })
    t.is(refusing.size, 0)
  })
}

test('every row of size fits; one more is refused with the numbers to change, and rows that are there can be changed', (t) => {
  const table = defineTable('table-spec-full', { size: 1000, columns: { id: column.int() } })
  for (let id = 0; id < 1000; id++) table.set(`user:${id}`, { id })
  t.is(table.size, 1000)
  t.throws(() => table.set('one more', { id: 1 }), {
    instanceOf: RangeError,
    code: 'ERR_SLUICE_TABLE_FULL',
    message: "Table \"table-spec-full\" is full: 1000 of 1000 rows (`size`) are in use. Make `size` larger, or let it make room: `evict: 'lru'`, or a `ttl`",
  })
  t.throws(() => table.add('one more', { id: 1 }), { code: 'ERR_SLUICE_TABLE_FULL' })
  t.throws(() => table.incr('one more', 'id'), { code: 'ERR_SLUICE_TABLE_FULL' })
  table.set('user:7', { id: -7 })
  t.is(table.incr('user:7', 'id'), -6)
  t.true(table.delete('user:8'))
  t.true(table.add('one more', { id: 1 }))
})

test("evict: 'lru' makes room", (t) => {
  const table = fresh({ size: 10, columns: { id: column.int() }, evict: 'lru' })
  for (let id = 0; id < 100; id++) {
    table.set(`user:${id}`, { id })
    t.is(table.get('user:0', 'id'), 0, 'what is used stays')
  }
  t.is(table.size, 10)
  t.is(table.stats().evicted, 90)
  t.is(table.get('user:99', 'id'), 99)
})

test('keys() and entries() give each row once, those with the prefix, in several iterations at once', (t) => {
  const table = fresh({ size: 5000, columns: { id: column.int(), name: column.string(40) } })
  for (let id = 0; id < 3000; id++) table.set(`${id % 2 === 0 ? 'even' : 'odd'}:${id}`, { id, name: `number ${id}` })
  const even = table.keys('even:')
  const odd = new Map<string, { id: number; name: string }>()
  const seen = new Set<string>()
  for (const [key, row] of table.entries('odd:')) {
    odd.set(key, row)
    const { value } = even.next()
    seen.add(value as string)
  }
  t.deepEqual([odd.size, seen.size, even.next().done], [1500, 1500, true])
  for (const [key, { id, name }] of odd) t.deepEqual([key, name], [`odd:${id}`, `number ${id}`])
  t.is(new Map(table).size, 3000)
  t.deepEqual([...table.keys('none')], [])
})

test('rows may be deleted, changed and made while they are gone through', (t) => {
  const table = fresh({ size: 4000, columns: { id: column.int() } })
  for (let id = 0; id < 2000; id++) table.set(`old:${id}`, { id })
  let count = 0
  for (const key of table.keys('old:')) {
    count++
    t.true(table.delete(key))
    table.set(`new:${key}`, { id: count })
    table.incr(`new:${key}`, 'id')
  }
  t.is(count, 2000)
  t.is(table.size, 2000)
})

test('a table of wide rows is gone through row by row', (t) => {
  const table = fresh({ size: 8, columns: { text: column.string(100_000) } })
  for (const key of ['a', 'b', 'c']) table.set(key, { text: key.repeat(100_000) })
  t.deepEqual([...table].map(([key, { text }]) => [key, text.length, text[0]]).sort(), [['a', 100_000, 'a'], ['b', 100_000, 'b'], ['c', 100_000, 'c']])
  t.is(table.get('c', 'text'), 'c'.repeat(100_000))
})

test('64 columns are as good as one', (t) => {
  const many = Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`c${index}`, column.int()]))
  const table = fresh({ size: 4, columns: many })
  const row = Object.fromEntries(Object.keys(many).map((name, index) => [name, index + 1]))
  table.set('a', row)
  t.deepEqual(table.get('a'), row)
  table.set('a', { c63: -1, c31: -2, c32: -3 })
  t.like(table.get('a'), { c63: -1, c31: -2, c32: -3, c0: 1, c62: 63 })
  t.true(table.compareDelete('a', { c63: -1, c0: 1 }))
})

test('clear() empties it', (t) => {
  const table = fresh({ size: 100, columns: { id: column.int() } })
  for (let id = 0; id < 100; id++) table.set(String(id), { id })
  table.clear()
  t.deepEqual([table.size, [...table].length], [0, 0])
  for (let id = 0; id < 100; id++) table.set(`again ${id}`, { id })
  t.is(table.size, 100)
})

test('size, capacity, memorySize and stats() tell what there is', (t) => {
  const table = fresh({ size: 100, columns: { id: column.int() } })
  table.set('a', { id: 1 })
  table.set('a', { id: 2 })
  table.set('b', { id: 1 })
  table.delete('b')
  t.like(table, { size: 1, capacity: 100 })
  t.true(table.memorySize > 100 * 8 && table.memorySize < 2 ** 20)
  t.deepEqual(table.stats(), { rows: 1, inserts: 2, updates: 1, deletes: 1, expired: 0, evicted: 0, maxProbe: 1, free: 99, recovered: 0 })
})

test('the same name is the same table, whoever asks', (t) => {
  const spec = { size: 4, columns: { id: column.int() } }
  const table = defineTable('table-spec-same', spec)
  t.is(defineTable('table-spec-same', { size: 4, columns: { id: column.int() } }), table)
  table.set('a', { id: 1 })
  t.is(defineTable('table-spec-same', { ...spec, onOverflow: 'truncate' }).get('a', 'id'), 1)
})

for (const [what, other, difference] of [
  ['size', { size: 5 }, '`size` is 4, not 5'],
  ['a column', { columns: { id: column.float() } }, '`columns` is'],
  ['ttl', { ttl: 5 }, '`ttl` is null, not 5'],
  ['evict', { evict: 'lru' }, '`evict` is "none", not "lru"'],
  ['maxKey', { maxKey: 5 }, '`maxKey` is 255, not 5'],
] as const) {
  test(`another ${what} under a name in use is refused, with what differs`, (t) => {
    const spec = { size: 4, columns: { id: column.int() } }
    defineTable('table-spec-mismatch', spec)
    const error = t.throws(() => defineTable('table-spec-mismatch', { ...spec, ...other } as TableSpec), { name: 'SluiceError', code: 'ERR_SLUICE_TABLE_MISMATCH' })
    t.true(error.message.includes(difference), error.message)
    t.regex(error.message, /restart/)
  })
}
