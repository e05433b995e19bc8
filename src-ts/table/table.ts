import { sluiceRangeError, sluiceTypeError } from '../errors.ts'
import { BatchReader } from './batch.ts'
import { RowCodec } from './codec.ts'
import type { Columns, NumberColumns, Sum } from './column.ts'
import { tableFailure } from './failure.ts'
import type { NativeTable } from './native-table.ts'
import { checkValue, Kind, shown, slotsOf, tooLong, unknownColumn, type Slot } from './slot.ts'
import { TTL_MAX, type TableSpec } from './spec.ts'
import { TableWatch, type TableEvent, type WatchOptions } from './watch.ts'
import { WordCalls, type WordValue } from './words.ts'

/** What writing a row can say of it. */
export interface RowOptions {
  /** Milliseconds until the row goes; 0 = never. @default what the table says; without that, the row's time stays as it is */
  readonly ttl?: number | undefined
}

/** What a table has done, in all threads and processes. */
export interface TableStats {
  readonly rows: number
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  /** Rows removed because their time was over. */
  readonly expired: number
  /** Rows removed to make room. */
  readonly evicted: number
  /** The longest way to a row; 1 = found at once. */
  readonly maxProbe: number
  /** Rows that can still be made. */
  readonly free: number
  /** Locks that this process took over from processes that were killed in the middle of a write. */
  readonly recovered: number
}

/** Ways of writing, as the core numbers them. */
const UPSERT = 0
const INSERT = 1
const UPDATE = 2

/**
 * Rows in memory that every thread and process of the server shares. Made by {@link defineTable} or by `tables` of the configuration;
 * `docs/reference/table.md` says what is guaranteed.
 *
 * A key is a string of 1 to `maxKey` bytes of UTF-8. Each call is atomic: it sees or changes one row as a whole, whoever else is at it.
 * Every call can throw TypeError ERR_SLUICE_INVALID_ARG for a key that is no string, RangeError ERR_SLUICE_TABLE_KEY for one that is empty or too
 * long, TypeError ERR_SLUICE_TABLE_COLUMN for a column that does not exist or a value of the wrong type, RangeError ERR_SLUICE_TABLE_VALUE_TOO_LONG
 * and ERR_SLUICE_TABLE_INTEGER for values that do not fit, and ERR_SLUICE_TABLE_BUSY when a process that was stopped holds the row.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- each table has columns of its own
export class Table<R extends object = any, C extends Columns = any> implements Iterable<[key: string, row: R]> {
  readonly name: string
  /** Rows that fit. */
  readonly capacity: number
  readonly #native: NativeTable
  readonly #slots: ReadonlyMap<string, Slot>
  readonly #codec: RowCodec
  readonly #words: WordCalls
  /** The column that was asked for last: often it is the same. */
  #last: Slot | undefined
  #batches: BatchReader | undefined

  /** For `defineTable()`. */
  constructor(name: string, spec: Pick<TableSpec, 'columns' | 'onOverflow'>, native: NativeTable) {
    this.name = name
    this.capacity = native.capacity
    // The addon adds its functions one by one, which makes of an object a dictionary that is looked up in each call; a copy is none.
    this.#native = { ...native }
    this.#slots = slotsOf(name, spec.columns, native.offsets, spec.onOverflow === 'truncate')
    this.#codec = new RowCodec(name, this.#slots, native.scratch, native.rowBytes)
    this.#words = new WordCalls(this.#native)
  }

  /**
   * A row, or one of its columns; undefined when there is no such row.
   * @throws RangeError ERR_SLUICE_TABLE_INTEGER when a `t.int()` column holds what no number can, because others wrote it as bigint
   */
  get(key: string): R | undefined
  get<K extends keyof R & string>(key: string, column: K): R[K] | undefined
  get(key: string, column?: string): unknown {
    if (column === undefined) {
      const found = this.#native.readRow(key)
      if (found === null) throw this.#failure()
      return found === false ? undefined : this.#codec.decode(found)
    }
    const slot = this.#slot(column)
    if (slot.kind < Kind.String) return this.#words.get(key, slot)
    const value = this.#native.getBytes(key, slot.index)
    if (value === null) throw this.#failure()
    return value
  }

  /**
   * Makes the row, or changes the given columns of it; the others stay, or are 0, `false` or empty in a new row. With the name of a column
   * and a value it sets that one, the quickest way to write.
   * @throws RangeError ERR_SLUICE_TABLE_FULL when there is no room for a new row
   */
  set(key: string, row: Partial<R>, options?: RowOptions): void
  set<K extends keyof R & string>(key: string, column: K, value: R[K], options?: RowOptions): void
  set(key: string, row: Partial<R> | string, value?: unknown, options?: RowOptions): void {
    if (typeof row === 'string') this.#setColumn(key, row, value, options)
    else this.#setRow(key, UPSERT, row, value as RowOptions | undefined)
  }

  /** Makes a row; false when there is one already, which stays as it is. @throws RangeError ERR_SLUICE_TABLE_FULL */
  add(key: string, row: Partial<R>, options?: RowOptions): boolean {
    return this.#setRow(key, INSERT, row, options)
  }

  /** Changes the given columns of a row; false when there is none. */
  update(key: string, row: Partial<R>, options?: RowOptions): boolean {
    return this.#setRow(key, UPDATE, row, options)
  }

  /**
   * Changes the given columns of a row if all the columns of `expected` are so; false when they are not, or there is no row.
   * Doubles are compared as numbers, and NaN is NaN.
   */
  compareSet(key: string, expected: Partial<R>, row: Partial<R>): boolean {
    this.#codec.encode(expected, 1)
    const { low, high } = this.#codec
    this.#codec.encode(row, 0)
    return this.#done(this.#native.compareSet(key, low, high, this.#codec.low, this.#codec.high))
  }

  /** Deletes a row if all the columns of `expected` are so; false when they are not, or there is no row. */
  compareDelete(key: string, expected: Partial<R>): boolean {
    this.#codec.encode(expected, 1)
    return this.#done(this.#native.compareDelete(key, this.#codec.low, this.#codec.high))
  }

  /** Deletes a row and gives it; undefined when there is none. Of several callers one gets it. */
  getDelete(key: string): R | undefined {
    const found = this.#native.takeRow(key)
    if (found === null) throw this.#failure()
    return found === false ? undefined : (this.#codec.decode(found) as R)
  }

  /** Whether there was such a row. */
  delete(key: string): boolean {
    return this.#done(this.#native.delete(key))
  }

  has(key: string): boolean {
    return this.#done(this.#native.has(key))
  }

  /**
   * Adds to a number and gives the sum. A row that is not there is made, with 0 in it; the time it has to live stays. A `t.bigint()` column wraps
   * around as int64.
   * @default by 1
   * @throws RangeError ERR_SLUICE_TABLE_INTEGER when the sum of a `t.int()` column would be beyond ±(2^53 - 1): nothing is changed then;
   * ERR_SLUICE_TABLE_FULL
   */
  incr<K extends NumberColumns<C>>(key: string, column: K, by?: Sum<C[K]>): Sum<C[K]> {
    return this.#sum(key, column, by, false) as Sum<C[K]>
  }

  /** As {@link incr}, downwards. @default by 1 */
  decr<K extends NumberColumns<C>>(key: string, column: K, by?: Sum<C[K]>): Sum<C[K]> {
    return this.#sum(key, column, by, true) as Sum<C[K]>
  }

  /**
   * The keys that begin with `prefix`. A row that is there all the time comes exactly once; one that comes or goes meanwhile may or may not.
   * Any number of iterations may run at once, and the table may be changed meanwhile. @default prefix '' all
   */
  *keys(prefix: string = ''): IterableIterator<string> {
    for (let from = 0; from < this.capacity; ) {
      const batches = (this.#batches ??= new BatchReader(this.#native, this.#codec))
      const keys = batches.keys(from, prefix)
      from = batches.next
      yield* keys
    }
  }

  /** The rows whose keys begin with `prefix`, as {@link keys}. Each is whole; it is read some rows before it comes. @default prefix '' all */
  *entries(prefix: string = ''): IterableIterator<[key: string, row: R]> {
    for (let from = 0; from < this.capacity; ) {
      const batches = (this.#batches ??= new BatchReader(this.#native, this.#codec))
      const entries = batches.entries(from, prefix)
      from = batches.next
      yield* entries as [string, R][]
    }
  }

  /** All rows, as {@link entries}. */
  [Symbol.iterator](): IterableIterator<[key: string, row: R]> {
    return this.entries()
  }

  /**
   * What happens from now on to the rows whose keys begin with `prefix`, in whichever thread or process. Changes of one row come in order; of
   * 4096 that wait for a slow reader the next are counted as `missed`. Ends with the loop, or with `signal`, whose reason is thrown. @default prefix '' all
   */
  watch(prefix: string = '', options: WatchOptions = {}): AsyncIterableIterator<TableEvent> {
    return new TableWatch(this.name, this.#native, prefix, options)
  }

  /** Deletes all rows, one after the other: rows that are made meanwhile may stay. */
  clear(): void {
    this.#done(this.#native.clear())
  }

  /** Rows there are. One whose time is over counts until it is removed. */
  get size(): number {
    return this.#native.size()
  }

  /** Bytes of memory that the table takes, in all processes together. */
  get memorySize(): number {
    return this.#native.memory()
  }

  stats(): TableStats {
    return JSON.parse(this.#native.stats()) as TableStats
  }

  #setColumn(key: string, column: string, value: unknown, options: RowOptions | undefined): void {
    const slot = this.#slot(column)
    checkValue(slot, value)
    const ttl = ttlOf(options)
    if (slot.kind < Kind.String) {
      this.#words.set(key, slot, value as WordValue, ttl)
      return
    }
    const fitting = fittingValue(slot, value as string | Uint8Array)
    this.#done(ttl === undefined ? this.#native.setBytes(key, slot.index, fitting) : this.#native.setBytes(key, slot.index, fitting, ttl))
  }

  #setRow(key: string, mode: number, row: Partial<R>, options: RowOptions | undefined): boolean {
    this.#codec.encode(row, 0)
    const { low, high } = this.#codec
    const ttl = ttlOf(options)
    return this.#done(ttl === undefined ? this.#native.setRow(key, mode, low, high) : this.#native.setRow(key, mode, low, high, ttl))
  }

  #sum(key: string, column: string, by: number | bigint | undefined, isDown: boolean): number | bigint {
    const slot = this.#slot(column)
    if (slot.kind > Kind.Float) throw sluiceTypeError('ERR_SLUICE_TABLE_COLUMN', `Column "${slot.name}" of table "${this.name}" holds no numbers, it cannot be counted with`)
    const step = by ?? (slot.kind === Kind.Big ? 1n : 1)
    checkValue(slot, step)
    return this.#words.add(key, slot, isDown ? -step : step)
  }

  #slot(column: string): Slot {
    let slot = this.#last
    if (slot !== undefined && slot.name === column) return slot
    slot = this.#slots.get(column)
    if (slot === undefined) throw unknownColumn(this.name, column, this.#slots)
    this.#last = slot
    return slot
  }

  #done(outcome: boolean | null): boolean {
    if (outcome === null) throw this.#failure()
    return outcome
  }

  #failure(): Error {
    return tableFailure(this.#native.failure())
  }
}

/** Text or bytes as their column takes them: cut if they are too long and may be. */
function fittingValue(slot: Slot, value: string | Uint8Array): string | Uint8Array {
  if (typeof value !== 'string') {
    if (value.length <= slot.size) return value
    if (!slot.isCut) throw tooLong(slot, value.length)
    return value.subarray(0, slot.size)
  }
  if (value.length * 3 <= slot.size) return value
  const bytes = Buffer.byteLength(value)
  if (bytes <= slot.size) return value
  if (!slot.isCut) throw tooLong(slot, bytes)
  const { read } = new TextEncoder().encodeInto(value, new Uint8Array(slot.size))
  return value.slice(0, read)
}

function ttlOf(options: RowOptions | undefined): number | undefined {
  const ttl = options?.ttl
  if (ttl === undefined) return undefined
  if (Number.isInteger(ttl) && ttl >= 0 && ttl <= TTL_MAX) return ttl
  throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `\`ttl\` must be a whole number of milliseconds ≥ 0, of 100 years at most, got ${shown(ttl)}`)
}
