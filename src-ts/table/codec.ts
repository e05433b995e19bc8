import { utf8Slice } from '../bridge/lane.ts'
import { sluiceTypeError } from '../errors.ts'
import { Kind, shown, tooLong, unknownColumn, unsafeInteger, wrongValue, type Slot } from './slot.ts'

/** Longest text that is looked at byte by byte, which is quicker than a call for short ones. */
const SHORT_TEXT = 32

type Write = (this: Uint8Array, text: string, offset: number, length: number) => number
const utf8Write = (Buffer.prototype as unknown as { readonly utf8Write: Write }).utf8Write
const byteLength = Buffer.byteLength

/**
 * Rows in the scratch buffer, as the core has them: 8 bytes for integers, doubles and booleans; a length of 4 bytes and then the
 * bytes, zero to the next multiple of 8, for text and bytes. The first image is the row that is read or written, the second one
 * what is expected of it.
 */
export class RowCodec {
  /** The columns that {@link encode} has found, as a mask of 64 bits in two halves. */
  low = 0
  high = 0
  readonly #table: string
  readonly #slots: ReadonlyMap<string, Slot>
  readonly #rowBytes: number
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #bigs: BigInt64Array
  readonly #bytes: Buffer
  readonly #decode: (texts: string | undefined) => object

  constructor(table: string, slots: ReadonlyMap<string, Slot>, scratch: ArrayBuffer, rowBytes: number) {
    this.#table = table
    this.#slots = slots
    this.#rowBytes = rowBytes
    this.#words = new Int32Array(scratch)
    this.#doubles = new Float64Array(scratch)
    this.#bigs = new BigInt64Array(scratch)
    this.#bytes = Buffer.from(scratch)
    this.#decode = decoder([...slots.values()], this.#readers())
  }

  /** The row of the first image as an object of its own. `texts`: its texts, one after the other, if they are known. @throws ERR_SLUICE_TABLE_INTEGER for one that no number can hold */
  decode(texts: string | true): object {
    return this.#decode(texts === true ? undefined : texts)
  }

  /** Takes over an image from elsewhere. */
  load(image: Uint8Array): void {
    this.#bytes.set(image)
  }

  /** Writes the columns of `row` that are not undefined into the first image, or the second, and says in `low` and `high` which these are. */
  encode(row: object, image: 0 | 1): void {
    if (typeof row !== 'object' || row === null) throw wrongRow(this.#table, row)
    const start = image * this.#rowBytes
    let low = 0
    let high = 0
    for (const name in row) {
      const slot = this.#slots.get(name)
      if (slot === undefined) throw unknownColumn(this.#table, name, this.#slots)
      const value = (row as Record<string, unknown>)[name]
      if (value === undefined) continue
      this.#write(slot, start + slot.offset, value)
      if (slot.index < 32) low |= 1 << slot.index
      else high |= 1 << (slot.index - 32)
    }
    this.low = low >>> 0
    this.high = high >>> 0
  }

  #write(slot: Slot, at: number, value: unknown): void {
    switch (slot.kind) {
      case Kind.Int: {
        if (!Number.isSafeInteger(value)) throw wrongValue(slot, value)
        this.#words[at >> 2] = value as number
        this.#words[(at >> 2) + 1] = Math.floor((value as number) / 4_294_967_296)
        break
      }
      case Kind.Big:
        if (typeof value !== 'bigint') throw wrongValue(slot, value)
        this.#bigs[at >> 3] = value
        break
      case Kind.Float:
        if (typeof value !== 'number') throw wrongValue(slot, value)
        this.#doubles[at >> 3] = value
        break
      case Kind.Bool:
        if (typeof value !== 'boolean') throw wrongValue(slot, value)
        this.#words[at >> 2] = value ? 1 : 0
        this.#words[(at >> 2) + 1] = 0
        break
      case Kind.String:
        if (typeof value !== 'string') throw wrongValue(slot, value)
        this.#end(at, this.#writeText(slot, at + 4, value))
        break
      case Kind.Bytes:
        if (!(value instanceof Uint8Array)) throw wrongValue(slot, value)
        if (value.length > slot.size && !slot.isCut) throw tooLong(slot, value.length)
        this.#bytes.set(value.length > slot.size ? value.subarray(0, slot.size) : value, at + 4)
        this.#end(at, Math.min(value.length, slot.size))
        break
    }
  }

  /** Writes text from `at` on and gives how many bytes it took. */
  #writeText(slot: Slot, at: number, text: string): number {
    const { length } = text
    if (length <= SHORT_TEXT && length <= slot.size) {
      let index = 0
      while (index < length) {
        const code = text.charCodeAt(index)
        if (code > 127) break
        this.#bytes[at + index++] = code
      }
      if (index === length) return length
    }
    if (length * 3 > slot.size && !slot.isCut) {
      const bytes = byteLength(text)
      if (bytes > slot.size) throw tooLong(slot, bytes)
    }
    // Of what does not fit, it leaves out whole characters only.
    return utf8Write.call(this.#bytes, text, at, slot.size)
  }

  /** The length before a value, and zeros behind it to the end of the word. */
  #end(at: number, length: number): void {
    this.#words[at >> 2] = length
    for (let index = at + 4 + length; (index & 7) !== 0; index++) this.#bytes[index] = 0
  }

  #readers(): Readers {
    const [words, doubles, bigs, bytes] = [this.#words, this.#doubles, this.#bigs, this.#bytes]
    const slots = [...this.#slots.values()]
    let texts: string | undefined
    let position = 0
    return {
      begin(joined) {
        texts = joined
        position = 0
      },
      int(offset, index) {
        const low = words[offset >> 2]!
        const high = words[(offset >> 2) + 1]!
        if (high === low >> 31) return low
        const value = high * 4_294_967_296 + (low >>> 0)
        if (!Number.isSafeInteger(value)) throw unsafeInteger(slots[index]!, bigs[offset >> 3]!)
        return value
      },
      big: (offset) => bigs[offset >> 3]!,
      float: (offset) => doubles[offset >> 3]!,
      bool: (offset) => words[offset >> 2] !== 0,
      text(offset) {
        const length = words[offset >> 2]!
        if (texts === undefined) return utf8Slice.call(bytes, offset + 4, offset + 4 + length)
        if (length === texts.length) return texts
        return texts.substring(position, (position += length))
      },
      bytes: (offset) => Buffer.from(bytes.subarray(offset + 4, offset + 4 + words[offset >> 2]!)),
    }
  }
}

/** One value of the first image each: `offset` bytes into it, of column number `index`. */
interface Readers {
  /** Before each row. */
  begin(joined: string | undefined): void
  int(offset: number, index: number): number
  big(offset: number): bigint
  float(offset: number): number
  bool(offset: number): boolean
  text(offset: number): string
  bytes(offset: number): Buffer
}

/** By {@link Kind}. */
const READERS = ['int', 'big', 'float', 'bool', 'text', 'bytes'] as const satisfies (keyof Readers)[]

/**
 * The function that makes an object of a row. It is made as source, an object literal with the names of the columns: filling an object
 * name by name takes six times as long. Names are those of `spec.ts`; where code must not be made, it is filled.
 */
function decoder(slots: readonly Slot[], readers: Readers): (texts: string | undefined) => object {
  const values = slots.map(({ name, kind, offset, index }) => `${JSON.stringify(name)}: ${READERS[kind]}(${offset}, ${index})`)
  try {
    const make = new Function('begin', ...READERS, `return (texts) => { begin(texts); return { ${values.join(', ')} } }`) as (...args: unknown[]) => (texts: string | undefined) => object
    return make(readers.begin, ...READERS.map((name) => readers[name]))
  } catch {
    return (texts) => {
      readers.begin(texts)
      return Object.fromEntries(slots.map(({ name, kind, offset, index }) => [name, readers[READERS[kind]](offset, index)]))
    }
  }
}

function wrongRow(table: string, row: unknown): Error {
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A row of table "${table}" must be an object of its columns, got ${shown(row)}`)
}
