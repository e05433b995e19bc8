import type { FormProgress, NativeBodyDecoder, NativeWorker } from '../native.ts'

/** An exchange as the core names it: the reactor, its place there, and the generation that makes a late answer harmless. */
export interface ExchangeName {
  readonly lane: { readonly index: number }
  readonly index: number
  readonly generation: number
}

/** What is said of a form without a core. */
const NO_FORM: FormProgress = { step: 4 }

/**
 * The way up: what one worker tells the reactors.
 *
 * Commands become visible to a sleeping reactor at the next flush. Inside a drain that is its last act; outside, the
 * first command schedules one flush after the current microtasks, so that a burst of resolved promises costs one.
 */
export class Commands {
  readonly #native: NativeWorker
  readonly #worker: number
  #held = false
  #scheduled = false
  #closed = false
  readonly #flushSoon: () => void

  constructor(native: NativeWorker, worker: number) {
    this.#native = native
    this.#worker = worker
    this.#flushSoon = () => {
      if (this.#scheduled && !this.#closed) native.flush(worker)
      this.#scheduled = false
    }
  }

  /** From here to {@link release} commands wait for the flush of `release`. */
  hold(): void {
    this.#held = true
  }

  /** Flushes what came since {@link hold}. */
  release(): void {
    this.#held = false
    if (!this.#closed) this.#native.flush(this.#worker)
  }

  /** Whether {@link release} follows. */
  get isHeld(): boolean {
    return this.#held
  }

  /** Flushes now what would be flushed soon, or with {@link release}. */
  flush(): void {
    if (this.#held && !this.#closed) this.#native.flush(this.#worker)
    else if (this.#scheduled) this.#flushSoon()
  }

  /** Leaves the core. Every later command is dropped and reported as not taken. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#native.detachWorker(this.#worker)
  }

  /** Says that a command follows, which the next flush makes visible. False when there is no core to take it any more. */
  announce(): boolean {
    if (this.#closed) return false
    if (!this.#held) this.#schedule()
    return true
  }

  /** A whole answer. False when the exchange is gone or was answered. */
  respond(to: ExchangeName, meta: number, headers: string, body: string | Uint8Array | null): boolean {
    if (!this.announce()) return false
    return this.#native.respond(this.#worker, to.lane.index, to.index, to.generation, meta, headers, body)
  }

  /** Whether an answer with these lines and a body of `length` bytes is compressed as `meta` says. */
  mayEncode(meta: number, headers: string, length: number): boolean {
    return !this.#closed && this.#native.mayEncode(this.#worker, meta, headers, length)
  }

  /** The head of a streamed answer; `length` -1 is unknown. */
  respondHead(to: ExchangeName, meta: number, headers: string, length: number): boolean {
    if (!this.announce()) return false
    return this.#native.respondHead(this.#worker, to.lane.index, to.index, to.generation, meta, headers, length)
  }

  /** The next bytes of a streamed answer. With `wantDrain` a DRAIN record follows when the client has read on. */
  respondChunk(to: ExchangeName, data: string | Uint8Array, wantDrain: boolean): boolean {
    if (!this.announce()) return false
    return this.#native.respondChunk(this.#worker, to.lane.index, to.index, to.generation, data, wantDrain)
  }

  /** The end of a streamed answer. */
  respondEnd(to: ExchangeName): boolean {
    if (!this.announce()) return false
    return this.#native.respondEnd(this.#worker, to.lane.index, to.index, to.generation)
  }

  /** Gives a streamed answer up, so that the client sees a broken transfer and never a short one. */
  respondReset(to: ExchangeName): boolean {
    if (!this.announce()) return false
    return this.#native.respondReset(this.#worker, to.lane.index, to.index, to.generation)
  }

  /** A whole answer with a file. The number of the system's error when it cannot be opened, and nothing is answered; else 0. */
  respondFile(to: ExchangeName, meta: number, headers: string, file: { readonly path: string; readonly mediaName: string; readonly isRemoved: boolean }): number {
    if (!this.announce()) return 0
    const result = this.#native.respondFile(this.#worker, to.lane.index, to.index, to.generation, meta, headers, file.path, file.mediaName, file.isRemoved)
    return result < 0 ? -result : 0
  }

  /** Lets the reactor send `bytes` more of a streamed body; the first call also sends `100 Continue`. */
  credit(to: ExchangeName, bytes: number): void {
    if (!this.announce()) return
    this.#native.credit(this.#worker, to.lane.index, to.index, to.generation, bytes)
  }

  /** The out-of-line body of a request, once; undefined when it is gone. */
  takeBlob(to: ExchangeName): Uint8Array | undefined {
    return this.#closed ? undefined : this.#native.takeBlob(this.#worker, to.lane.index, to.index, to.generation)
  }

  /** Says that the request may be run again by another worker, should this one die. False when the exchange is gone. */
  markIdempotent(to: ExchangeName): boolean {
    if (!this.announce()) return false
    return this.#native.markIdempotent(this.#worker, to.lane.index, to.index, to.generation)
  }

  /** Lets go of an exchange that somebody else answers; the token to claim it by. Undefined when it is gone or its answer has begun. */
  detach(name: ExchangeName): number | undefined {
    if (this.#closed) return undefined
    const token = this.#native.detachExchange(this.#worker, name.lane.index, name.index, name.generation)
    return token < 0 ? undefined : token
  }

  /** Takes a detached exchange over: its generation from now on. Undefined when there is none, not any more. */
  claim(lane: number, index: number, token: number): number | undefined {
    if (this.#closed) return undefined
    const generation = this.#native.claimExchange(this.#worker, lane, index, token)
    // As it stands in the words of a record.
    return generation < 0 ? undefined : generation | 0
  }

  /** Begins to read a form in parts; a number for the calls below. Undefined when `type` is of another kind, or there is no core any more. */
  formOpen(to: ExchangeName, type: string, memory: number): number | undefined {
    if (this.#closed) return undefined
    const form = this.#native.formOpen(this.#worker, to.lane.index, to.index, to.generation, type, memory)
    return form < 0 ? undefined : form
  }

  /** The next bytes of a form. */
  formWrite(form: number, data: Uint8Array): FormProgress {
    return this.#closed ? NO_FORM : this.#native.formWrite(this.#worker, form, data)
  }

  /** There are no more. */
  formEnd(form: number): FormProgress {
    return this.#closed ? NO_FORM : this.#native.formEnd(this.#worker, form)
  }

  /** JSON of what is in a form, or null when it is gone. */
  formContent(form: number): string | null {
    return this.#closed ? null : this.#native.formContent(this.#worker, form)
  }

  /** The content of a file that was kept in memory. */
  formBytes(form: number, file: number): Uint8Array | undefined {
    return this.#closed ? undefined : (this.#native.formBytes(this.#worker, form, file) ?? undefined)
  }

  /** Removes the files of a form. */
  formClose(form: number): void {
    if (!this.#closed) this.#native.formClose(this.#worker, form)
  }

  /** A decoder for the value of a `content-encoding`. Undefined when there is no core any more. */
  bodyDecoder(coding: string): NativeBodyDecoder | undefined {
    return this.#closed ? undefined : new this.#native.BodyDecoder(coding)
  }

  /** JSON of the connection an exchange came on, or null when it is gone. */
  connectionInfo(to: ExchangeName): string | null {
    return this.#closed ? null : this.#native.connectionInfo(this.#worker, to.lane.index, to.index, to.generation)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(this.#flushSoon)
  }
}
