import { types } from 'node:util'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { ChunkSource } from './chunk-source.ts'
import type { Answerable, Outgoing } from './exchange.ts'

/** Bytes that may be on their way before the client has to read on. Bounds what one slow reader costs in memory. */
const WINDOW_BYTES = 256 * 1024

/**
 * A streamed answer after its head: pulls the source, and no faster than the client reads.
 *
 * Up to 256 KiB are sent ahead; then the source waits until the reactor says (DRAIN) that the connection's buffer is low.
 */
export class OutgoingStream implements Outgoing {
  readonly #exchange: Answerable
  readonly #source: ChunkSource
  /** Bytes announced, -1 when unknown. */
  readonly #length: number
  #sent = 0
  #ahead = 0
  #isLost = false
  /** Ends {@link run} when nobody reads any more, though the source may never give its next chunk. */
  #leave: () => void = () => undefined
  #resume: (() => void) | null = null

  constructor(exchange: Answerable, source: ChunkSource, length: number) {
    this.#exchange = exchange
    this.#source = source
    this.#length = length
  }

  /**
   * Sends everything. Resolves when that is done or nobody reads any more.
   *
   * Rejects with the source's error, or when the body is not as long as announced: the transfer was broken off then, so
   * that the client cannot take what it has for the whole.
   */
  async run(): Promise<void> {
    const exchange = this.#exchange
    const left = new Promise<void>((resolve) => (this.#leave = resolve))
    exchange.outgoing = this
    try {
      await Promise.race([this.#pump(), left])
    } catch (error) {
      // After a loss the source may fail because we have stopped it.
      if (this.#isLost) return
      exchange.host.commands.respondReset(exchange)
      this.#source.cancel(error)
      throw error
    } finally {
      exchange.outgoing = null
    }
  }

  drained(): void {
    this.#ahead = 0
    this.#resume?.()
    this.#resume = null
  }

  lost(reason: unknown): void {
    this.#isLost = true
    // The compressor is let go.
    if (this.#exchange.host.codings !== null) this.#exchange.host.commands.respondReset(this.#exchange)
    this.#source.cancel(reason)
    this.#resume?.()
    this.#leave()
  }

  async #pump(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#source.next()
      if (this.#isLost) return
      if (done === true) break
      if (!(await this.#send(bytesOf(value)))) return
    }
    if (this.#length >= 0 && this.#sent !== this.#length) throw this.#wrongLength()
    this.#exchange.host.commands.respondEnd(this.#exchange)
  }

  /** Sends one chunk. False when nobody reads any more. */
  async #send(chunk: Uint8Array): Promise<boolean> {
    if (this.#length >= 0 && this.#sent + chunk.byteLength > this.#length) throw this.#wrongLength(chunk.byteLength)
    // In pieces: a chunk may be larger than what one connection may have buffered.
    for (let start = 0; start < chunk.byteLength; start += WINDOW_BYTES) {
      const piece = chunk.byteLength <= WINDOW_BYTES ? chunk : chunk.subarray(start, start + WINDOW_BYTES)
      this.#sent += piece.byteLength
      this.#ahead += piece.byteLength
      const isFull = this.#ahead > WINDOW_BYTES
      const drained = isFull ? new Promise<void>((resolve) => (this.#resume = resolve)) : null
      if (!this.#exchange.host.commands.respondChunk(this.#exchange, piece, isFull)) {
        this.lost(new DOMException('The client has left', 'AbortError'))
        return false
      }
      if (drained !== null) await drained
      if (this.#isLost) return false
    }
    return true
  }

  #wrongLength(more = 0): Error {
    return sluiceError('ERR_SLUICE_INVALID_STATE', `The response body has ${more > 0 ? 'at least ' : ''}${this.#sent + more} bytes, but its content-length says ${this.#length}`)
  }
}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (types.isAnyArrayBuffer(chunk)) return new Uint8Array(chunk)
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A chunk of a response body must be bytes or a string, got ${chunk === null ? 'null' : typeof chunk}`)
}
