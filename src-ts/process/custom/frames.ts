/**
 * What the master and a process of its own say to each other, as bytes: four of length, then what structured clone writes. Not Node's own channel between
 * processes: there one wrong byte is an exception in the master, and a wrong length fills its memory.
 */
import { sluiceRangeError } from '../../errors.ts'
import { notCloneable } from '../messages.ts'

/** Longest frame. */
export const FRAME_BYTES_MAX: number = 64 * 1024 * 1024
const HEAD_BYTES = 4

/** @throws ERR_SLUICE_INVALID_ARG for what cannot be cloned, or is too long */
export function toFrame(value: unknown): Buffer {
  let body: Buffer
  try {
    body = v8().serialize(value)
  } catch (cause) {
    throw notCloneable(cause)
  }
  if (body.length > FRAME_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `A message to or from a process of its own can have ${FRAME_BYTES_MAX} bytes, got ${body.length}`)
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head.writeUInt32LE(body.length)
  return Buffer.concat([head, body])
}

/** Reads frames, whatever the pieces they come in. */
export class FrameReader {
  readonly #take: (value: unknown) => void
  #parts: Buffer[] = []
  #length = 0
  /** Bytes that are needed to go on. */
  #needed = HEAD_BYTES
  #isInBody = false

  constructor(take: (value: unknown) => void) {
    this.#take = take
  }

  /** @throws Error for bytes that are no frames; nothing more can be read then */
  write(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#length += chunk.length
    while (this.#length >= this.#needed) this.#next()
  }

  #next(): void {
    const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    const part = all.subarray(0, this.#needed)
    this.#parts = all.length > part.length ? [all.subarray(part.length)] : []
    this.#length -= part.length
    if (this.#isInBody) {
      this.#isInBody = false
      this.#needed = HEAD_BYTES
      this.#take(v8().deserialize(part))
      return
    }
    this.#needed = frameLength(part)
    this.#isInBody = true
  }
}

/** How long the body after these four bytes is. @throws Error for what is no length */
export function frameLength(head: Buffer): number {
  const length = head.readUInt32LE()
  if (length === 0 || length > FRAME_BYTES_MAX) throw new Error(`A message of ${length} bytes was announced`)
  return length
}

/** A body alone. */
export function fromBody(body: Buffer): unknown {
  return v8().deserialize(body)
}

function v8(): typeof import('node:v8') {
  return process.getBuiltinModule('node:v8')
}
