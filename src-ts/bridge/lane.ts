import { sluiceError } from '../errors.ts'
import { LANE_HEADER_BYTES, LaneWord } from './record.ts'

/** The slice methods of `Buffer`, which the type declarations leave out. */
type Slice = (this: Uint8Array, start: number, end: number) => string
const slices = Buffer.prototype as unknown as { readonly latin1Slice: Slice; readonly utf8Slice: Slice }

// Taken once, before user code runs: an app that patches the prototype must not change what we read.
export const latin1Slice: Slice = slices.latin1Slice
export const utf8Slice: Slice = slices.utf8Slice
const sliceOf = Uint8Array.prototype.slice as (this: Uint8Array, start: number, end: number) => Uint8Array<ArrayBuffer>

/**
 * The event ring of one reactor for this worker, as views that are made once.
 *
 * The memory is the core's: the reactor overwrites a record as soon as its end is published in the ring's head. So what
 * is to outlive the handler call is copied, and neither the views nor their buffer may ever reach user code.
 */
export class Lane {
  /** Which reactor, as the answer calls name it. */
  readonly index: number
  /** The whole ring, header included. */
  readonly words: Int32Array
  readonly bytes: Buffer
  /** The same as no `Buffer`, whose copies would be Buffers. */
  readonly #plain: Uint8Array
  /** Length of the data area - 1; the length is a power of two. */
  readonly mask: number
  /** Position after the last record that was run, free-running. Published from time to time. */
  head: number

  constructor(index: number, ring: ArrayBuffer) {
    const length = ring.byteLength - LANE_HEADER_BYTES
    if (length <= 0 || (length & (length - 1)) !== 0) {
      throw sluiceError('ERR_SLUICE_INTERNAL', `Event ring ${index} has ${length} data bytes, expected a power of two`)
    }
    this.index = index
    this.words = new Int32Array(ring)
    this.bytes = Buffer.from(ring)
    this.#plain = new Uint8Array(ring)
    this.mask = length - 1
    this.head = Atomics.load(this.words, LaneWord.HEAD)
  }

  /** Position after the last record the reactor has published. */
  tail(): number {
    return Atomics.load(this.words, LaneWord.TAIL)
  }

  /** Gives the memory of every record before {@link head} back to the reactor. */
  publish(): void {
    Atomics.store(this.words, LaneWord.HEAD, this.head)
  }

  /** Word index of the record at `position`. */
  at(position: number): number {
    return (LANE_HEADER_BYTES + (position & this.mask)) >>> 2
  }

  /** Ring bytes where they lie, to be copied before the handler call returns. */
  view(start: number, length: number): Uint8Array {
    return this.#plain.subarray(start, start + length)
  }

  /** A copy of ring bytes in memory of its own. `start` counts from the beginning of the ring. */
  copy(start: number, length: number): Uint8Array<ArrayBuffer> {
    return sliceOf.call(this.#plain, start, start + length)
  }
}
