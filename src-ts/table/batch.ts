import { utf8Slice } from '../bridge/lane.ts'
import type { RowCodec } from './codec.ts'
import { tableFailure } from './failure.ts'
import type { NativeTable } from './native-table.ts'

/** Bytes that one call reads, at least one row. */
const BATCH_BYTES = 16 * 1024
/** Before the rows: their number as u32, padded to 8. */
const HEADER_BYTES = 8
/** Before each row: the length of its key as u32, padded to 8. */
const ROW_HEADER_BYTES = 8
/** The longest key, padded to 8. */
const KEY_BYTES = 256

/** Where a thread reads the rows of one table in batches. */
export class BatchReader {
  readonly #native: NativeTable
  readonly #codec: RowCodec
  readonly #bytes: Buffer
  readonly #words: Int32Array
  #next = 0

  constructor(native: NativeTable, codec: RowCodec) {
    this.#native = native
    this.#codec = codec
    const memory = new ArrayBuffer(Math.max(BATCH_BYTES, HEADER_BYTES + ROW_HEADER_BYTES + KEY_BYTES + native.rowBytes))
    this.#bytes = Buffer.from(memory)
    this.#words = new Int32Array(memory)
  }

  /** Where the next batch begins; the capacity of the table is the end. */
  get next(): number {
    return this.#next
  }

  keys(from: number, prefix: string): string[] {
    const found: string[] = []
    this.#read(from, prefix, false, (key) => found.push(key))
    return found
  }

  entries(from: number, prefix: string): [string, object][] {
    const found: [string, object][] = []
    const { rowBytes } = this.#native
    this.#read(from, prefix, true, (key, image) => {
      this.#codec.load(this.#bytes.subarray(image, image + rowBytes))
      found.push([key, this.#codec.decode(true)])
    })
    return found
  }

  #read(from: number, prefix: string, hasRows: boolean, each: (key: string, image: number) => void): void {
    const next = this.#native.scan(this.#bytes, from, prefix, hasRows)
    if (next === null) throw tableFailure(this.#native.failure())
    this.#next = next
    let at = HEADER_BYTES
    for (let count = this.#words[0]!; count > 0; count--) {
      const length = this.#words[at >> 2]!
      const start = at + ROW_HEADER_BYTES
      const image = start + ((length + 7) & ~7)
      each(utf8Slice.call(this.#bytes, start, start + length), image)
      at = hasRows ? image + this.#native.rowBytes : image
    }
  }
}
