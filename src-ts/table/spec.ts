import { nearest } from '../config/nearest.ts'
import { sluiceTypeError } from '../errors.ts'
import type { Column, Columns } from './column.ts'

/** What a table is made of. It cannot be changed while the server runs: the same name with another description is refused. */
export interface TableSpec<C extends Columns = Columns> {
  /** Rows, 1 to 1 073 741 824. All of them fit, whatever their keys; their memory is taken when the table is made. */
  readonly size: number
  readonly columns: C
  /** Milliseconds that a row lives after it was last set. @default undefined for ever */
  readonly ttl?: number | undefined
  /** What happens to a new row when `size` rows are there: 'none' throws ERR_SLUICE_TABLE_FULL, 'lru' removes one that was not used for long. @default 'none' */
  readonly evict?: 'none' | 'lru' | undefined
  /** What happens to a string or bytes that its column cannot hold: a RangeError, or it is cut, a string between two characters. @default 'throw' */
  readonly onOverflow?: 'throw' | 'truncate' | undefined
  /** Bytes of a key at most, 1 to 255, of UTF-8. @default 255 */
  readonly maxKey?: number | undefined
  /**
   * File that keeps the rows over a restart of the server; a relative path is one of the application's root in the configuration, of the working
   * directory in `defineTable()`. Written when the server or the process stops and every `persistEvery`, always whole; of a file that is damaged
   * no row is taken: ERR_SLUICE_TABLE_FILE. @default undefined nothing is kept
   */
  readonly persist?: string | undefined
  /** Milliseconds between two snapshots of a table that changes, 10 to 86 400 000. @default 10 000 */
  readonly persistEvery?: number | undefined
}

/** Rows at most. */
const SIZE_MAX = 2 ** 30
/** Columns at most. */
const COLUMNS_MAX = 64
/** Bytes of one string or bytes column at most. */
const COLUMN_BYTES_MAX = 2 ** 20
/** Bytes of the columns of one row at most. */
const ROW_BYTES_MAX = 2 ** 22
/** Bytes of a key at most. */
const KEY_BYTES_MAX = 255
/** The longest time to live, 100 years in milliseconds. */
export const TTL_MAX: number = 100 * 366 * 24 * 3600 * 1000

/** Between two snapshots, in milliseconds. */
const PERSIST_EVERY_MIN = 10
const PERSIST_EVERY_MAX = 86_400_000

const SPEC_KEYS = ['size', 'columns', 'ttl', 'evict', 'onOverflow', 'maxKey', 'persist', 'persistEvery'] as const
const COLUMN_TYPES = ['int', 'float', 'bool', 'string', 'bytes'] as const

/** What is wrong with a description, and where. */
export interface SpecFault {
  readonly path: readonly string[]
  /** What it must be. */
  readonly message: string
  readonly value: unknown
}

/**
 * The description of a table for `tables` of the configuration: gives back what it gets, with the types of its columns.
 * @throws TypeError ERR_SLUICE_INVALID_OPTION for what is no description of a table
 */
export function table<const C extends Columns>(spec: TableSpec<C>): TableSpec<C> {
  checkSpec('table()', spec)
  return spec
}

/** @throws TypeError ERR_SLUICE_INVALID_OPTION that names the member of `what` */
export function checkSpec(what: string, spec: unknown): asserts spec is TableSpec {
  const fault = specFault(spec)
  if (fault === undefined) return
  const path = fault.path.join('.')
  throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `${path === '' ? what : `${path} of ${what}`} ${fault.message}, got ${shown(fault.value)}`)
}

/** The first thing that is wrong with a description; undefined when nothing is. */
export function specFault(spec: unknown): SpecFault | undefined {
  if (!isObject(spec)) return fault([], spec, 'must be { size, columns }')
  const unknown = Object.keys(spec).find((key) => !(SPEC_KEYS as readonly string[]).includes(key))
  if (unknown !== undefined) {
    const similar = nearest(unknown, SPEC_KEYS)
    return { path: [unknown], message: `is not an option of a table${similar === undefined ? '' : ` (did you mean \`${similar}\`?)`}`, value: spec[unknown] }
  }
  const { size, columns, ttl, evict, onOverflow, maxKey, persist, persistEvery } = spec
  if (!isWhole(size, 1, SIZE_MAX)) return fault(['size'], size, `must be a whole number of rows from 1 to ${SIZE_MAX}`)
  if (!isObject(columns)) return fault(['columns'], columns, 'must be an object of columns by name, such as { id: t.int() }')
  const names = Object.keys(columns)
  if (names.length === 0 || names.length > COLUMNS_MAX) return { path: ['columns'], message: `must have 1 to ${COLUMNS_MAX} columns`, value: columns }
  let rowBytes = 0
  for (const name of names) {
    const path = ['columns', name]
    if (!/^[A-Za-z_$][\w$-]{0,63}$/.test(name) || name === '__proto__') return { path, message: 'is no name for a column: 1 to 64 letters, digits and _ $ -, not beginning with a digit', value: columns[name] }
    const column = columns[name]
    if (!isColumn(column)) return fault(path, column, 'must be one of t.int(), t.bigint(), t.float(), t.bool(), t.string(size), t.bytes(size)')
    if (!('size' in column)) {
      rowBytes += 8
    } else {
      if (!isWhole(column.size, 1, COLUMN_BYTES_MAX)) return fault([...path, 'size'], column.size, `must be a whole number of bytes from 1 to ${COLUMN_BYTES_MAX}`)
      rowBytes += Math.ceil((column.size + 4) / 8) * 8
    }
  }
  if (rowBytes > ROW_BYTES_MAX) return { path: ['columns'], message: `would make rows of ${rowBytes} bytes; at most ${ROW_BYTES_MAX} are possible`, value: columns }
  if (ttl !== undefined && !isWhole(ttl, 1, TTL_MAX)) return fault(['ttl'], ttl, 'must be a whole number of milliseconds ≥ 1, of 100 years at most')
  if (evict !== undefined && evict !== 'none' && evict !== 'lru') return fault(['evict'], evict, 'must be "none" or "lru"')
  if (onOverflow !== undefined && onOverflow !== 'throw' && onOverflow !== 'truncate') return fault(['onOverflow'], onOverflow, 'must be "throw" or "truncate"')
  if (maxKey !== undefined && !isWhole(maxKey, 1, KEY_BYTES_MAX)) return fault(['maxKey'], maxKey, `must be a whole number of bytes from 1 to ${KEY_BYTES_MAX}`)
  if (persist !== undefined && (typeof persist !== 'string' || persist === '' || persist.includes('\0'))) return fault(['persist'], persist, 'must be the path of a file')
  if (persistEvery !== undefined && !isWhole(persistEvery, PERSIST_EVERY_MIN, PERSIST_EVERY_MAX)) return fault(['persistEvery'], persistEvery, `must be a whole number of milliseconds from ${PERSIST_EVERY_MIN} to ${PERSIST_EVERY_MAX}`)
  return undefined
}

function fault(path: readonly string[], value: unknown, message: string): SpecFault {
  return { path, message, value }
}

/** The description as the core reads it: what concerns the memory. */
export function nativeSpec({ size, columns, ttl, evict = 'none', maxKey = KEY_BYTES_MAX }: TableSpec): string {
  const list = Object.entries(columns).map(([name, column]) => ({ name, type: column.type, ...('size' in column && { size: column.size }) }))
  return JSON.stringify({ size, columns: list, ttl, evict, maxKey })
}

function isColumn(value: unknown): value is Column {
  return isObject(value) && (COLUMN_TYPES as readonly unknown[]).includes(value['type']) && ('size' in value) === (value['type'] === 'string' || value['type'] === 'bytes')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max
}

/** A value as it may be quoted in one line. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
