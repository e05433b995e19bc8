import { tableFailure } from './failure.ts'
import type { NativeTable } from './native-table.ts'
import { Kind, unsafeInteger, type Slot } from './slot.ts'

/** What a column of one word holds. */
export type WordValue = number | bigint | boolean

/** Where the words are in memory that the addon shares, in 32-bit halves; in 64-bit words half of that. */
const ACT = 0
const VALUE = 2
const TTL = 4

/** What to do, beside the column. */
const HAS_TTL = 1 << 8
const ADD_WRAPPING = 1 << 8
const ADD_FLOAT = 2 << 8

/** What came of it. */
const NONE = 0
const FAILED = 2

/**
 * The calls for a column of one word. Only the key is an argument: each further one takes more than what is done in the row, and so does a
 * value that is given back. They lie in memory instead (`crates/sluice-napi/src/table/words.rs`).
 */
export class WordCalls {
  readonly #native: NativeTable
  readonly #halves: Int32Array
  readonly #doubles: Float64Array
  readonly #bigs: BigInt64Array

  constructor(native: NativeTable) {
    this.#native = native
    this.#halves = new Int32Array(native.words)
    this.#doubles = new Float64Array(native.words)
    this.#bigs = new BigInt64Array(native.words)
  }

  /** The value; undefined when there is no row. */
  get(key: string, slot: Slot): WordValue | undefined {
    this.#halves[ACT] = slot.index
    this.#native.getWord(key)
    const outcome = this.#halves[ACT]
    if (outcome === NONE) return undefined
    if (outcome === FAILED) throw tableFailure(this.#native.failure())
    return this.#read(slot)
  }

  /** Sets a value that was checked. */
  set(key: string, slot: Slot, value: WordValue, ttl: number | undefined): void {
    this.#write(slot, value)
    this.#halves[ACT] = slot.index
    if (ttl !== undefined) {
      this.#doubles[TTL >> 1] = ttl
      this.#halves[ACT] = slot.index | HAS_TTL
    }
    this.#native.setWord(key)
    if (this.#halves[ACT] === FAILED) throw tableFailure(this.#native.failure())
  }

  /** Adds a value that was checked, and gives the sum. */
  add(key: string, slot: Slot, by: number | bigint): number | bigint {
    this.#write(slot, by)
    this.#halves[ACT] = slot.kind === Kind.Int ? slot.index : slot.kind === Kind.Big ? slot.index | ADD_WRAPPING : slot.index | ADD_FLOAT
    this.#native.addWord(key)
    if (this.#halves[ACT] === FAILED) throw tableFailure(this.#native.failure())
    return this.#read(slot) as number | bigint
  }

  #read(slot: Slot): WordValue {
    switch (slot.kind) {
      case Kind.Big:
        return this.#bigs[VALUE >> 1]!
      case Kind.Float:
        return this.#doubles[VALUE >> 1]!
      case Kind.Bool:
        return this.#halves[VALUE] !== 0
      default: {
        const low = this.#halves[VALUE]!
        const high = this.#halves[VALUE + 1]!
        if (high === low >> 31) return low
        const value = high * 4_294_967_296 + (low >>> 0)
        if (!Number.isSafeInteger(value)) throw unsafeInteger(slot, this.#bigs[VALUE >> 1]!)
        return value
      }
    }
  }

  #write(slot: Slot, value: WordValue): void {
    switch (slot.kind) {
      case Kind.Big:
        this.#bigs[VALUE >> 1] = value as bigint
        break
      case Kind.Float:
        this.#doubles[VALUE >> 1] = value as number
        break
      case Kind.Bool:
        this.#halves[VALUE] = value === true ? 1 : 0
        this.#halves[VALUE + 1] = 0
        break
      default: {
        const low = (value as number) | 0
        this.#halves[VALUE] = low
        this.#halves[VALUE + 1] = low === value ? low >> 31 : Math.floor((value as number) / 4_294_967_296)
      }
    }
  }
}
