import { Readable } from 'node:stream'
import { utf8Slice } from '../bridge/lane.ts'
import { sluiceRangeError } from '../errors.ts'
import type { Exchange } from './exchange.ts'
import { fieldOf, isReleased, released } from './head.ts'
import { nativeClasses } from './native-classes.ts'

const BYTE_ORDER_MARK = 0xfeff

/**
 * The body of a request as the Fetch standard shows it: read once, whole or as a stream.
 *
 * Reading a body as a whole is bound by `limits.bodyBytes` (ERR_SLUICE_BODY_TOO_LARGE, answered with 413 when
 * nobody catches it); reading it as a stream is not.
 */
export class RequestBody {
  readonly #exchange: Exchange
  #stream: ReadableStream<Uint8Array<ArrayBuffer>> | null
  #taken = false
  /** Whether a clone reads the same bytes. */
  #shared = false

  constructor(exchange: Exchange, stream: ReadableStream<Uint8Array<ArrayBuffer>> | null = null) {
    this.#exchange = exchange
    this.#stream = stream
  }

  get isUsed(): boolean {
    const { formBody } = this.#exchange
    return this.#taken || (formBody !== null && formBody !== this) || (this.#stream !== null && Readable.isDisturbed(this.#stream as never))
  }

  /** The body as a stream, always the same one; null when the request has none. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    if (this.#stream !== null) return this.#stream
    const exchange = this.#exchange
    if (isReleased(exchange)) throw released()
    if (this.#taken) this.#stream = emptied()
    else if (!exchange.hasBody()) return null
    else if (exchange.isStreamed) this.#stream = exchange.incoming().readable()
    else this.#stream = new (nativeClasses().Response)(this.#held()).body as ReadableStream<Uint8Array<ArrayBuffer>>
    return this.#stream
  }

  /** The same body once more, for a clone. Throws a TypeError when it was read. */
  tee(): RequestBody {
    if (this.isUsed || this.#stream?.locked === true) throw new TypeError('The request body was already read')
    const exchange = this.#exchange
    if (this.#stream === null && (!exchange.isStreamed || !exchange.hasBody())) {
      // Copied now: whoever reads first must not leave the other without.
      exchange.body()
      const other = new RequestBody(exchange)
      this.#shared = other.#shared = true
      return other
    }
    const [mine, other] = this.stream()!.tee()
    this.#stream = mine
    return new RequestBody(exchange, other)
  }

  /** Hands the stream to another request, whose body it is from now on. */
  transfer(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    const stream = this.stream()
    if (stream !== null) this.#take()
    return stream
  }

  /** The bytes as they come, of any number. */
  async *chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    this.#take()
    if (this.#isAtHand) {
      yield this.#held()
      return
    }
    const incoming = this.#exchange.incoming()
    for (let chunk = await incoming.read(); chunk !== null; chunk = await incoming.read()) yield chunk
  }

  // What is at hand is given without another await, here and below: each costs a turn of the microtasks and a promise.
  async text(): Promise<string> {
    const exchange = this.#exchange
    this.#take()
    const length = this.#isAtHand ? exchange.inlineLength() : 0
    let text: string
    if (length > 0 && length <= exchange.bodyBytes) {
      // Straight from the ring: the usual small body needs no copy of its bytes.
      const start = exchange.inlineStart()
      text = utf8Slice.call(exchange.lane.bytes, start, start + length)
    } else {
      const bytes = this.#isAtHand ? this.#whole() : await this.#collected()
      text = utf8Slice.call(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength)
    }
    return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    this.#take()
    return (this.#isAtHand ? this.#whole() : await this.#collected()).buffer
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    this.#take()
    return this.#isAtHand ? this.#whole() : this.#collected()
  }

  async blob(): Promise<Blob> {
    const type = fieldOf(this.#exchange, 'content-type') ?? ''
    return new Blob([await this.bytes()], { type })
  }

  async formData(): Promise<FormData> {
    const type = fieldOf(this.#exchange, 'content-type') ?? ''
    return new (nativeClasses().Response)(await this.bytes(), { headers: { 'content-type': type } }).formData()
  }

  #take(): void {
    if (this.isUsed) throw new TypeError('The request body was already read')
    if (this.#stream?.locked === true) throw new TypeError('The request body is being read as a stream')
    // Not an empty body: it was there.
    if (isReleased(this.#exchange)) throw released()
    // Without a body there is nothing to use up; it may be asked for again.
    this.#taken = this.#exchange.hasBody()
    this.#exchange.isBodyTaken = true
  }

  /** Whether the whole body has come with the request, and is not read as a stream. */
  get #isAtHand(): boolean {
    return this.#stream === null && !this.#exchange.isStreamed
  }

  /** The body of a request that is not streamed, in a buffer that is the caller's. */
  #held(): Uint8Array<ArrayBuffer> {
    const body = this.#exchange.body() ?? new Uint8Array(0)
    return this.#shared ? body.slice() : body
  }

  /** The same, if it is not too long to be read as a whole. */
  #whole(): Uint8Array<ArrayBuffer> {
    const limit = this.#exchange.bodyBytes
    const body = this.#held()
    if (body.byteLength > limit) throw tooLarge(limit)
    return body
  }

  /** The bytes of a stream, in a buffer of their own. */
  async #collected(): Promise<Uint8Array<ArrayBuffer>> {
    const exchange = this.#exchange
    const limit = exchange.bodyBytes
    const announced = Number(fieldOf(exchange, 'content-length') ?? 0)
    if (announced > limit) throw tooLarge(limit)
    return this.#stream === null ? collect(exchange.incoming(), limit) : collect(reads(this.#stream), limit)
  }
}

interface Chunks {
  read(): Promise<Uint8Array | null>
  cancel(): void
}

function reads(stream: ReadableStream<Uint8Array>): Chunks {
  const reader = stream.getReader()
  return {
    read: async () => (await reader.read()).value ?? null,
    // The stream's own error, if there is one, is the caller's already.
    cancel: () => void reader.cancel().catch(() => undefined),
  }
}

async function collect(chunks: Chunks, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  let length = 0
  for (let chunk = await chunks.read(); chunk !== null; chunk = await chunks.read()) {
    length += chunk.byteLength
    if (length > limit) {
      chunks.cancel()
      throw tooLarge(limit)
    }
    parts.push(chunk)
  }
  const whole = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.byteLength
  }
  return whole
}

/** What `body` is after the body was read as a whole: a stream that somebody else has locked. */
function emptied(): ReadableStream<Uint8Array<ArrayBuffer>> {
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({ type: 'bytes' })
  stream.getReader()
  return stream
}

function tooLarge(limit: number): Error {
  return sluiceRangeError('ERR_SLUICE_BODY_TOO_LARGE', `The request body is longer than limits.bodyBytes (${limit}); read req.body as a stream for more`)
}
