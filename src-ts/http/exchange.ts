import type { Commands, ExchangeName } from '../bridge/commands.ts'
import type { OpenExchange } from '../bridge/exchanges.ts'
import type { Lane } from '../bridge/lane.ts'
import { AbortReason, FIELD_BYTES, FIELDS_MASK, FIELDS_SHIFT, HEAD_LENGTH_MASK, HttpFlag, METHOD_HEAD, METHOD_SHIFT, PORT_SHIFT, RECORD_WORDS, Word } from '../bridge/record.ts'
import { sluiceError } from '../errors.ts'
import type { CodingChoice } from './content-coding.ts'
import { detachHead, fieldOf, type Head, releaseHead } from './head.ts'
import { DecodedStream } from './decoded-stream.ts'
import { type Incoming, IncomingStream } from './incoming-stream.ts'
import type { RequestBody } from './request-body.ts'

/** What all exchanges of one worker share. */
export interface ExchangeHost {
  readonly commands: Commands
  /** By port: the longest request body that is read as a whole, in bytes. */
  readonly bodyBytes: readonly number[]
  /** Chooses how answers are compressed; null when they are not. */
  readonly codings: CodingChoice | null
  /** Whether the codings of request bodies are undone. */
  readonly decodes: boolean
  /** `performance.now()` of the running batch, whole milliseconds. */
  readonly now: number
  /** Why everything in hand is to stop, once it is. */
  readonly abortReason: unknown
  /** The exchange outlives its handler call: records for it may follow. */
  keep(exchange: Exchange): void
  /** The exchange is over. Called once for each that was kept. */
  close(exchange: Exchange): void
}

/** What an answer can be sent to. */
export interface Answerable extends ExchangeName {
  readonly host: ExchangeHost
  /** The answer has no body. */
  readonly isHead: boolean
  /** What `meta` says of the coding of the answer; 0 where answers are not compressed. */
  readonly coding: number
  /** Sends the answer in pieces, while it does. */
  outgoing: Outgoing | null
  /** It outlives the call that answers: records for it may follow. */
  keep(): void
  /** The exchange as something that can give its connection away. @throws ERR_SLUICE_INVALID_STATE when it cannot */
  takeOver(): Exchange
}

/** Whoever sends a streamed answer. */
export interface Outgoing {
  /** The client has read on. */
  drained(): void
  /** Nobody reads any more. */
  lost(reason: unknown): void
}

/**
 * One request with its answer, from the record to the last byte sent.
 *
 * A handler that answers before it returns is served straight from the ring. Any other exchange is kept: copied out of the
 * ring, and known to the drain as the target of the records that follow.
 */
export class Exchange implements Answerable, Head, OpenExchange {
  readonly host: ExchangeHost
  readonly lane: Lane
  at: number
  text: string
  readonly kind: number
  readonly generation: number
  readonly index: number
  /** `performance.now()` when the batch with the request began, whole milliseconds. */
  readonly receivedAt: number
  /** Sends the answer in pieces, while it does. */
  outgoing: Outgoing | null
  /** Somebody has read the body from the ring, or holds a copy. */
  isBodyTaken: boolean
  /** It is somebody else's to answer. */
  isDetached: boolean
  /** The body, if it is read as a form: nobody else reads it then. */
  formBody: RequestBody | null
  /** Who waits until the disk has caught up with the form. */
  #spooling: { resolve(): void; reject(error: unknown): void } | null
  /** The body of a streamed request. */
  #incoming: Incoming | null
  /** The body of any other request, once it was copied. */
  #body: Uint8Array<ArrayBuffer> | null
  #abort: AbortController | null
  #isLost: boolean
  #isLeaving: boolean
  /** What the client did to us: left, broke its body off, or waited too long. No error of the app. */
  #peerError: unknown
  #kept: boolean
  #closed: boolean

  constructor(host: ExchangeHost, lane: Lane, at: number) {
    const { words } = lane
    this.host = host
    this.lane = lane
    this.at = at
    this.text = ''
    this.kind = words[at + Word.KIND]!
    this.generation = words[at + Word.GENERATION]!
    this.index = words[at + Word.INDEX]!
    this.receivedAt = host.now
    this.outgoing = null
    this.isBodyTaken = false
    this.isDetached = false
    this.formBody = null
    this.#spooling = null
    this.#incoming = null
    this.#body = null
    this.#abort = null
    this.#isLost = false
    this.#isLeaving = false
    this.#peerError = undefined
    this.#kept = false
    this.#closed = false
  }

  get isHead(): boolean {
    return ((this.kind >>> METHOD_SHIFT) & 7) === METHOD_HEAD
  }

  /** The index of the port by which the request came. */
  get port(): number {
    return this.kind >>> PORT_SHIFT
  }

  /** Longest request body that is read as a whole, in bytes. */
  get bodyBytes(): number {
    return this.host.bodyBytes[this.port]!
  }

  /** What `meta` says of the coding of the answer; 0 where answers are not compressed. */
  get coding(): number {
    const { codings } = this.host
    return codings === null ? 0 : codings.of(fieldOf(this, 'accept-encoding'))
  }

  /** Whether the body is read in pieces: because it comes so, or has to be decoded. */
  get isStreamed(): boolean {
    return (this.kind & HttpFlag.STREAM) !== 0 || this.bodyCoding !== null
  }

  /** The `content-encoding` of the request that is undone before its body is read; null when none is. */
  get bodyCoding(): string | null {
    if (!this.host.decodes) return null
    const coding = fieldOf(this, 'content-encoding')?.trim() ?? ''
    return coding === '' || coding.toLowerCase() === 'identity' ? null : coding
  }

  /** Whether the exchange outlives its handler call. */
  get isKept(): boolean {
    return this.#kept
  }

  /** Whether the answer is out and all that belongs to it is done. */
  get isClosed(): boolean {
    return this.#closed
  }

  /** Whether client or deadline are lost, so that no answer will be read. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** Whether `error` says no more than that the client left or broke off. */
  isPeerError(error: unknown): boolean {
    if (this.#peerError === undefined) return false
    return error === this.#peerError || (error instanceof Error && error.cause === this.#peerError)
  }

  /** Copies out of the ring what is still to be read, and stays reachable for records. Idempotent, and without effect on a closed one. */
  keep(): void {
    if (this.#kept || this.#closed) return
    this.#kept = true
    if (this.isStreamed) this.incoming()
    else if (!this.isBodyTaken && this.inlineLength() > 0) this.body()
    detachHead(this)
    this.host.keep(this)
  }

  /** The exchange is over. The ring is let go, and nothing reaches it any more. */
  close(): void {
    this.#closed = true
    if (!this.#kept) {
      releaseHead(this)
      return
    }
    // Nothing more of it comes; whoever still reads shall not wait for ever.
    const error = sluiceError('ERR_SLUICE_INVALID_STATE', 'The request was answered before its body was read to the end, and the rest is dropped; read the body before answering')
    this.#incoming?.fail(error)
    this.#spooling?.reject(error)
    this.host.close(this)
  }

  /** Lets go of it without an answer; a token by which it can be claimed. @throws ERR_SLUICE_INVALID_STATE when its answer has begun */
  detach(): number {
    const token = this.isDetached || this.#closed || this.outgoing !== null ? undefined : this.host.commands.detach(this)
    if (token === undefined && !this.#isLost && !this.#isLeaving) {
      throw sluiceError('ERR_SLUICE_INVALID_STATE', this.isDetached ? 'The request was detached before' : 'The request was answered before it could be detached')
    }
    this.isDetached = true
    const error = sluiceError('ERR_SLUICE_INVALID_STATE', 'The request was detached before its body was read to the end, and the rest is dropped; read the body before detaching')
    this.#incoming?.fail(error)
    this.#spooling?.reject(error)
    // Of a client that has left there is nothing to claim.
    return token ?? 0
  }

  takeOver(): this {
    return this
  }

  /** Aborts when the client leaves, the deadline passes or the worker stops. */
  get signal(): AbortSignal {
    return this.#controller().signal
  }

  /** Fires the signal, if anybody has asked for it. */
  abort(reason: unknown): void {
    this.#abort?.abort(reason)
  }

  /** Bytes of the body in the record itself; 0 when there is none, or when it lies elsewhere. */
  inlineLength(): number {
    if (this.at < 0 || (this.kind & HttpFlag.BLOB) !== 0) return 0
    return this.lane.words[this.at + Word.BODY_LENGTH]!
  }

  /** Where the body in the record begins, counted from the beginning of the ring. */
  inlineStart(): number {
    return (this.at + RECORD_WORDS) * 4 + ((this.kind >>> FIELDS_SHIFT) & FIELDS_MASK) * FIELD_BYTES + (this.lane.words[this.at + Word.HEAD_LENGTH]! & HEAD_LENGTH_MASK)
  }

  /** The whole body, as a copy that is made once; null when the request has none. For requests that are not streamed. */
  body(): Uint8Array<ArrayBuffer> | null {
    if (this.#body === null) {
      if ((this.kind & HttpFlag.BLOB) !== 0) this.#body = exact(this.host.commands.takeBlob(this))
      else if (this.inlineLength() > 0) this.#body = this.lane.copy(this.inlineStart(), this.inlineLength())
    }
    return this.#body
  }

  /** Whether the request came with a body. */
  hasBody(): boolean {
    return (this.kind & (HttpFlag.BLOB | HttpFlag.STREAM)) !== 0 || this.#body !== null || this.inlineLength() > 0
  }

  /** The body, if it is read in pieces. */
  incoming(): Incoming {
    if (this.#incoming === null) {
      const coding = this.bodyCoding
      const incoming = (this.kind & HttpFlag.STREAM) === 0 ? this.#piecewise() : this.#streamed()
      const { commands } = this.host
      this.#incoming = coding === null ? incoming : new DecodedStream(incoming, coding, (name) => commands.bodyDecoder(name))
    }
    return this.#incoming
  }

  #streamed(): Incoming {
    const incoming = new IncomingStream((bytes) => this.host.commands.credit(this, bytes))
    if (this.inlineLength() > 0) incoming.push(this.lane.copy(this.inlineStart(), this.inlineLength()))
    return incoming
  }

  /** A body that has come as a whole. */
  #piecewise(): Incoming {
    const incoming = new IncomingStream(() => undefined)
    const body = this.body()
    if (body !== null) incoming.push(body)
    incoming.end()
    return incoming
  }

  /** Resolves with the next word of the core that the disk has caught up with the form. To be called right after the step that made it wait. */
  spooled(): Promise<void> {
    return new Promise((resolve, reject) => (this.#spooling = { resolve, reject }))
  }

  formNews(): void {
    this.#spooling?.resolve()
    this.#spooling = null
  }

  bodyChunk(data: Uint8Array<ArrayBuffer>): void {
    this.#incoming?.push(data)
  }

  bodyEnd(complete: boolean): void {
    if (complete) {
      this.#incoming?.end()
    } else {
      this.#peerError = new DOMException('The request body broke off', 'AbortError')
      this.#incoming?.fail(this.#peerError)
    }
  }

  /** Fires the signal and nothing else: a stream goes on until writing fails, since the client may only have closed its half. */
  halfClosed(): void {
    this.#isLeaving = true
    this.#peerError ??= new DOMException('The client has left', 'AbortError')
    this.#abort?.abort(this.#peerError)
  }

  /** Fires the signal: the handler should hurry or give up. */
  late(): void {
    this.#controller().abort(new DOMException('The handler takes longer than requestTimeout.soft', 'TimeoutError'))
  }

  lost(reason: number): void {
    const error =
      reason === AbortReason.ANSWER_DEADLINE
        ? new DOMException('The answer did not start in time', 'TimeoutError')
        : new DOMException('The client has left', 'AbortError')
    this.#isLost = true
    this.#peerError = error
    // In this order: the streams end first, so that a listener of the signal finds them ended.
    this.#incoming?.fail(error)
    this.#spooling?.reject(error)
    this.outgoing?.lost(error)
    this.#abort?.abort(error)
  }

  drained(): void {
    this.outgoing?.drained()
  }

  /** Made when somebody asks for the signal; fired at once if what it tells has happened. */
  #controller(): AbortController {
    if (this.#abort === null) {
      this.#abort = new AbortController()
      const reason = this.#isLost || this.#isLeaving ? this.#peerError : this.host.abortReason
      if (reason !== undefined) this.#abort.abort(reason)
    }
    return this.#abort
  }
}

/** The bytes alone in their buffer, so that `.buffer` shows nothing else. */
function exact(bytes: Uint8Array | undefined): Uint8Array<ArrayBuffer> | null {
  if (bytes === undefined) return null
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) return new Uint8Array(buffer)
  return new Uint8Array(bytes)
}
