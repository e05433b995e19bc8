import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { NativeBodyDecoder } from '../native.ts'
import { type Incoming, readableOf } from './incoming-stream.ts'

/**
 * The body of a request without its coding (`content-encoding`): decoded as it is read, at most 64 KiB at a time, so that a small body that
 * becomes a large one costs only those who read it, and what they are ready to take.
 */
export class DecodedStream implements Incoming {
  readonly #coded: Incoming
  readonly #coding: string
  readonly #make: (coding: string) => NativeBodyDecoder | undefined
  #decoder: NativeBodyDecoder | undefined
  #input: Uint8Array | null = null
  #begun = false
  #isComplete = false
  #error: unknown

  /** `make` gives undefined when there is no core any more. */
  constructor(coded: Incoming, coding: string, make: (coding: string) => NativeBodyDecoder | undefined) {
    this.#coded = coded
    this.#coding = coding
    this.#make = make
  }

  get isOpened(): boolean {
    return this.#coded.isOpened
  }

  /** As that of the coded body. @throws ERR_SLUICE_BODY_TYPE for a coding that is not known, ERR_SLUICE_BODY_MALFORMED */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#error !== undefined) throw this.#error
    try {
      return await this.#next()
    } catch (error) {
      this.#error = error
      this.#decoder?.free()
      this.#coded.cancel()
      throw error
    }
  }

  cancel(): void {
    this.#decoder?.free()
    this.#coded.cancel()
  }

  push(chunk: Uint8Array<ArrayBuffer>): void {
    this.#coded.push(chunk)
  }

  end(): void {
    this.#coded.end()
  }

  fail(error: unknown): void {
    this.#coded.fail(error)
  }

  readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readableOf(this)
  }

  async #next(): Promise<Uint8Array<ArrayBuffer> | null> {
    this.#decoder ??= this.#make(this.#coding)
    const decoder = this.#decoder
    if (decoder === undefined) throw sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The request body cannot be read, because the worker has left')
    if (!decoder.isKnown && !this.#isComplete) throw sluiceTypeError('ERR_SLUICE_BODY_TYPE', `A request body may be coded with gzip, deflate, br or zstd, one of them, got ${JSON.stringify(this.#coding)}`)
    for (;;) {
      if (this.#input === null) {
        const chunk = await this.#coded.read()
        // No body at all is no coded body.
        if (chunk === null && (this.#isComplete || !this.#begun)) return null
        if (chunk === null) throw malformed(this.#coding, 'is cut short')
        this.#begun = true
        this.#input = chunk
      }
      const piece = decoder.decode(this.#input)
      if (piece === null) throw malformed(this.#coding, 'breaks the rules of its coding, or goes on behind its end')
      const { consumed, data, isComplete, isDrained } = piece
      this.#input = isDrained && consumed === this.#input.byteLength ? null : this.#input.subarray(consumed)
      this.#isComplete = isComplete
      // A copy: what is given away must be memory of V8's own, which can be transferred.
      if (data.byteLength > 0) return new Uint8Array(data)
    }
  }
}

function malformed(coding: string, what: string): Error {
  return sluiceError('ERR_SLUICE_BODY_MALFORMED', `The request body ${what} (${coding})`)
}
