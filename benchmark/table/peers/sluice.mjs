/** A table of ours. */
import { defineTable, t } from '../../../dist/index.js'

export function open({ rows, columns }) {
  const kinds = { int: t.int, float: t.float, string: () => t.string(32), block: () => t.bytes(60) }
  const spec = Object.fromEntries(Object.entries(columns).map(([name, kind]) => [name, kinds[kind]()]))
  const table = defineTable('bench', { size: rows, columns: spec })
  return {
    setRow: (key, row) => table.set(key, row),
    getRow: (key) => table.get(key),
    getColumn: (key) => table.get(key, 'id'),
    setColumn: (key, value) => table.set(key, 'id', value),
    incr: (key) => table.incr(key, 'id'),
    memory: () => table.memorySize,
    close() {}
  }
}
