import { nearest } from '../config/nearest.ts'
import { sluiceRangeError, sluiceTypeError } from '../errors.ts'
import type { Column, Columns } from './column.ts'

/** What a column holds. */
export const Kind = { Int: 0, Big: 1, Float: 2, Bool: 3, String: 4, Bytes: 5 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** A column and where it lies in a row image. */
export interface Slot {
  readonly table: string
  readonly name: string
  readonly index: number
  readonly kind: Kind
  /** Bytes before it; a multiple of 8. */
  readonly offset: number
  /** Bytes of a value at most; 0 for kinds of one word. */
  readonly size: number
  readonly isCut: boolean
}

const WANTED = ['a safe integer', 'a bigint', 'a number', 'true or false', 'a string', 'a Uint8Array'] as const

/** The columns of a table by name. */
export function slotsOf(table: string, columns: Columns, offsets: readonly number[], isCut: boolean): ReadonlyMap<string, Slot> {
  return new Map(
    Object.entries(columns).map(([name, column], index) => [
      name,
      { table, name, index, kind: kindOf(column), offset: offsets[index] ?? 0, size: 'size' in column ? column.size : 0, isCut },
    ]),
  )
}

function kindOf(column: Column): Kind {
  switch (column.type) {
    case 'int':
      return column.bigint === true ? Kind.Big : Kind.Int
    case 'float':
      return Kind.Float
    case 'bool':
      return Kind.Bool
    case 'string':
      return Kind.String
    case 'bytes':
      return Kind.Bytes
  }
}

/** @throws what is wrong with a value that its column does not take. Strings and bytes may still be too long. */
export function checkValue(slot: Slot, value: unknown): void {
  switch (slot.kind) {
    case Kind.Int:
      if (Number.isSafeInteger(value)) return
      break
    case Kind.Big:
      if (typeof value === 'bigint') return
      break
    case Kind.Float:
      if (typeof value === 'number') return
      break
    case Kind.Bool:
      if (typeof value === 'boolean') return
      break
    case Kind.String:
      if (typeof value === 'string') return
      break
    case Kind.Bytes:
      if (value instanceof Uint8Array) return
      break
  }
  throw wrongValue(slot, value)
}

/** The error for a value of the wrong type, or an integer that is none or not safe. */
export function wrongValue({ table, name, kind }: Slot, value: unknown): Error {
  if (kind === Kind.Int && typeof value === 'number') {
    return sluiceRangeError('ERR_SLUICE_TABLE_INTEGER', `Column "${name}" of table "${table}" takes safe integers, ±(2^53 - 1), got ${value}; t.bigint() and t.float() take others`)
  }
  return sluiceTypeError('ERR_SLUICE_TABLE_COLUMN', `Column "${name}" of table "${table}" takes ${WANTED[kind]}, got ${shown(value)}`)
}

/** The error for an integer that no number holds. */
export function unsafeInteger({ table, name }: Slot, value: bigint): Error {
  return sluiceRangeError('ERR_SLUICE_TABLE_INTEGER', `Column "${name}" of table "${table}" holds ${value}, which is no safe integer; declare it as t.bigint() to read it`)
}

/** The error for text or bytes that are too long. */
export function tooLong({ table, name, size }: Slot, length: number): Error {
  return sluiceRangeError(
    'ERR_SLUICE_TABLE_VALUE_TOO_LONG',
    `Column "${name}" of table "${table}" holds ${size} bytes, the value has ${length}; declare a larger size, or \`onOverflow: 'truncate'\``,
  )
}

/** The error for a column that does not exist. */
export function unknownColumn(table: string, name: unknown, slots: ReadonlyMap<string, Slot>): Error {
  const similar = nearest(String(name), [...slots.keys()])
  const hint = similar === undefined ? `; it has ${[...slots.keys()].slice(0, 16).join(', ')}` : `, did you mean "${similar}"?`
  return sluiceTypeError('ERR_SLUICE_TABLE_COLUMN', `Table "${table}" has no column ${shown(name)}${hint}`)
}

/** A value as it may be quoted in one line. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === 'bigint') return `${value}n`
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'function' || typeof value === 'symbol' ? `a ${typeof value}` : String(value)
}
