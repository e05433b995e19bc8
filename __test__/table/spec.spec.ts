import test from 'ava'
import { defineTable, t as column, table } from '../../src-ts/index.ts'
import { specFault } from '../../src-ts/table/spec.ts'

const columns = { id: column.int() }

for (const [what, spec, path, message] of [
  ['nothing', undefined, '', /must be \{ size, columns \}/],
  ['a list', [], '', /must be \{ size, columns \}/],
  ['no size', { columns }, 'size', /whole number of rows from 1/],
  ['size 0', { size: 0, columns }, 'size', /from 1 to 1073741824/],
  ['too many rows', { size: 2 ** 30 + 1, columns }, 'size', /1073741824/],
  ['a fraction of a row', { size: 1.5, columns }, 'size', /whole/],
  ['an unknown option', { size: 1, columns, evcit: 'lru' }, 'evcit', /did you mean `evict`/],
  ['no columns', { size: 1 }, 'columns', /t\.int\(\)/],
  ['an empty set of columns', { size: 1, columns: {} }, 'columns', /1 to 64/],
  ['65 columns', { size: 1, columns: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`c${index}`, column.int()])) }, 'columns', /1 to 64/],
  ['a column named by a number', { size: 1, columns: { 1: column.int() } }, 'columns.1', /name/],
  ['a column named __proto__', { size: 1, columns: JSON.parse('{"__proto__":{"type":"int"}}') }, 'columns.__proto__', /name/],
  ['a column named by code', { size: 1, columns: { '"+x+"': column.int() } }, 'columns."+x+"', /name/],
  ['a column that is none', { size: 1, columns: { id: 'int' } }, 'columns.id', /t\.int\(\)/],
  ['a column of an unknown type', { size: 1, columns: { id: { type: 'json' } } }, 'columns.id', /t\.int\(\)/],
  ['a string without a size', { size: 1, columns: { id: { type: 'string' } } }, 'columns.id', /t\.string\(size\)/],
  ['a string of size 0', { size: 1, columns: { id: column.string(0) } }, 'columns.id.size', /bytes from 1/],
  ['bytes beyond 1 MiB', { size: 1, columns: { id: column.bytes(2 ** 20 + 1) } }, 'columns.id.size', /1048576/],
  ['rows beyond 4 MiB', { size: 1, columns: Object.fromEntries([0, 1, 2, 3, 4].map((index) => [`c${index}`, column.bytes(2 ** 20)])) }, 'columns', /at most 4194304/],
  ['ttl 0', { size: 1, columns, ttl: 0 }, 'ttl', /milliseconds/],
  ['a ttl of 200 years', { size: 1, columns, ttl: 200 * 366 * 864e5 }, 'ttl', /100 years/],
  ['an unknown eviction', { size: 1, columns, evict: 'lfu' }, 'evict', /"none" or "lru"/],
  ['an unknown way with overflow', { size: 1, columns, onOverflow: 'cut' }, 'onOverflow', /"throw" or "truncate"/],
  ['a long maxKey', { size: 1, columns, maxKey: 256 }, 'maxKey', /1 to 255/],
] as const) {
  test(`${what} is refused`, (t) => {
    const fault = specFault(spec)
    t.is(fault?.path.join('.'), path)
    t.regex(fault?.message ?? '', message)
    t.throws(() => defineTable('spec-spec', spec as never), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_OPTION', message })
    t.throws(() => table(spec as never), { code: 'ERR_SLUICE_INVALID_OPTION' })
  })
}

test('the largest of everything is accepted', (t) => {
  t.is(specFault({ size: 2 ** 30, columns: { a: column.string(2 ** 20), b: column.bytes(2 ** 20) }, ttl: 1, evict: 'lru', onOverflow: 'truncate', maxKey: 255 }), undefined)
})

for (const name of ['', 'a b', 'a/b', '../x', '.hidden', 'x'.repeat(65), 5]) {
  test(`the name ${JSON.stringify(name)} is refused`, (t) => {
    t.throws(() => defineTable(name as string, { size: 1, columns }), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  })
}
