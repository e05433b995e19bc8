/** A body that is read in pieces, as it comes in. */
export interface Incoming {
  /** Whether somebody has begun to read. */
  readonly isOpened: boolean
  /** The next bytes, null at the end. One reader, one call at a time. */
  read(): Promise<Uint8Array<ArrayBuffer> | null>
  /** Nobody will read the rest. */
  cancel(): void
  push(chunk: Uint8Array<ArrayBuffer>): void
  end(): void
  fail(error: unknown): void
  readable(): ReadableStream<Uint8Array<ArrayBuffer>>
}

/** A byte stream that reads only when it is read, and cancels when it is cancelled. */
export function readableOf(incoming: Incoming): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    type: 'bytes',
    pull: async (controller) => {
      const chunk = await incoming.read()
      if (chunk !== null) return controller.enqueue(chunk)
      controller.close()
      // A reader with its own buffer waits for it to come back, even at the end.
      controller.byobRequest?.respond(0)
    },
    cancel: () => incoming.cancel(),
  })
}

/**
 * The body of a streamed request, as it comes in.
 *
 * The reactor sends at most a window of it (256 KiB) ahead of the reader; what the reader takes is given back as credit.
 * Nothing is read from the socket beyond the window, so an unread body costs no more than that.
 */
export class IncomingStream implements Incoming {
  readonly #credit: (bytes: number) => void
  readonly #chunks: Uint8Array<ArrayBuffer>[] = []
  #waiting: { resolve(chunk: Uint8Array<ArrayBuffer> | null): void; reject(error: unknown): void } | null = null
  #opened = false
  #ended = false
  #cancelled = false
  #error: unknown

  /** `credit` lets the reactor send so many bytes more; its first call says that somebody reads (`100 Continue`). */
  constructor(credit: (bytes: number) => void) {
    this.#credit = credit
  }

  /** Whether somebody has begun to read. */
  get isOpened(): boolean {
    return this.#opened
  }

  /** The next bytes, null at the end. One reader, one call at a time. Rejects when the client has left. */
  read(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (!this.#opened) {
      this.#opened = true
      this.#credit(0)
    }
    const chunk = this.#chunks.shift()
    if (chunk !== undefined) {
      this.#credit(chunk.byteLength)
      return Promise.resolve(chunk)
    }
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#ended) return Promise.resolve(null)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  /** Nobody will read the rest. What comes is dropped without credit, so the reactor stops reading the socket. */
  cancel(): void {
    this.#cancelled = true
    this.#chunks.length = 0
    this.end()
  }

  push(chunk: Uint8Array<ArrayBuffer>): void {
    if (this.#cancelled) return
    const waiting = this.#waiting
    if (waiting === null) {
      this.#chunks.push(chunk)
      return
    }
    this.#waiting = null
    this.#credit(chunk.byteLength)
    waiting.resolve(chunk)
  }

  end(): void {
    this.#ended = true
    this.#waiting?.resolve(null)
    this.#waiting = null
  }

  /** What came before is lost, too: a body that is not whole must not look like one. */
  fail(error: unknown): void {
    if (this.#ended || this.#error !== undefined) return
    this.#error = error
    this.#chunks.length = 0
    this.#waiting?.reject(error)
    this.#waiting = null
  }

  readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return readableOf(this)
  }
}
