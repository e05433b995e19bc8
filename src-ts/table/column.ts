/** An integer, read and written as a number: −(2^53 − 1) to 2^53 − 1. */
export interface IntColumn {
  readonly type: 'int'
  readonly bigint?: false
}
/** An integer of 64 bits, read and written as a bigint; what is beyond wraps around. */
export interface BigintColumn {
  readonly type: 'int'
  readonly bigint: true
}
/** A number, as JavaScript has it. */
export interface FloatColumn {
  readonly type: 'float'
}
export interface BoolColumn {
  readonly type: 'bool'
}
/** Text of up to `size` bytes of UTF-8. */
export interface StringColumn {
  readonly type: 'string'
  readonly size: number
}
/** Up to `size` bytes. */
export interface BytesColumn {
  readonly type: 'bytes'
  readonly size: number
}
export type Column = IntColumn | BigintColumn | FloatColumn | BoolColumn | StringColumn | BytesColumn

/** Columns by name: 1 to 64, named as variables are. */
export type Columns = Readonly<Record<string, Column>>

/** A whole row. */
export type RowOf<C extends Columns> = { -readonly [K in keyof C]: ValueOf<C[K]> }

type ValueOf<T> = T extends BigintColumn ? bigint : T extends StringColumn ? string : T extends BytesColumn ? Uint8Array : T extends BoolColumn ? boolean : number

/** The columns that can be counted with. */
export type NumberColumns<C extends Columns> = { [K in keyof C]: C[K] extends IntColumn | BigintColumn | FloatColumn ? K : never }[keyof C] & string

/** What such a column holds; number for a table whose columns are not known. */
export type Sum<T> = [T] extends [IntColumn | FloatColumn] ? number : bigint

/** The kinds of columns. What a row does not say of a new row is 0, `false` or empty. */
export const t = {
  /** Integers as numbers: safe integers (±(2^53 − 1)). 8 bytes. */
  int: (): IntColumn => ({ type: 'int' }),
  /** Integers as bigints: 64 bits, which wrap around. 8 bytes. */
  bigint: (): BigintColumn => ({ type: 'int', bigint: true }),
  /** Numbers. 8 bytes. */
  float: (): FloatColumn => ({ type: 'float' }),
  /** `true` or `false`. 8 bytes. */
  bool: (): BoolColumn => ({ type: 'bool' }),
  /** Text of up to `size` bytes of UTF-8, 1 to 1 048 576. Takes `size` + 4 bytes, rounded up to 8. */
  string: (size: number): StringColumn => ({ type: 'string', size }),
  /** Up to `size` bytes, 1 to 1 048 576, read as a Buffer of their own. Takes `size` + 4 bytes, rounded up to 8. */
  bytes: (size: number): BytesColumn => ({ type: 'bytes', size }),
} as const
