import { sluiceError } from '../errors.ts'

export type Message = string | Uint8Array

interface Limits {
  readonly messages: number
  readonly bytes: number
}

/** What an inbox asks of the client. */
export interface InboxOwner {
  /** There is room again after `push()` had said that there is none. */
  readMore(): void
  /** The consumer left; nothing more is pushed. */
  left(): void
}

/**
 * The messages that wait for one consumer, as its async iterator. It is bounded by its owner's obedience: when `push()` says that it
 * is full, the owner stops reading the socket until `readMore()`.
 */
export class Inbox implements AsyncIterableIterator<Message> {
  readonly #limits: Limits
  readonly #owner: InboxOwner
  readonly #waiting: { readonly message: Message; readonly bytes: number }[] = []
  /** Calls of `next()` without a message yet: more than one only if the consumer does not await each. */
  readonly #calls: { readonly resolve: (result: IteratorResult<Message, undefined>) => void; readonly reject: (error: Error) => void }[] = []
  #bytes = 0
  #isFull = false
  #hasEnded = false
  #error: Error | null = null

  constructor(limits: Limits, owner: InboxOwner) {
    this.#limits = limits
    this.#owner = owner
  }

  /** No more may be pushed until `readMore()`, but for what the last read from the socket has brought. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Hands a message to the consumer, who may not be there yet. */
  push(message: Message, bytes: number): void {
    if (this.#hasEnded) return
    const call = this.#calls.shift()
    if (call !== undefined) {
      call.resolve({ value: message, done: false })
      return
    }
    this.#waiting.push({ message, bytes })
    this.#bytes += bytes
    if (this.#waiting.length >= this.#limits.messages || this.#bytes >= this.#limits.bytes) this.#isFull = true
  }

  /** Nothing more will come. What waits is still given out, then `error` once, if there is one. */
  end(error: Error | null): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const [first, ...rest] = this.#calls.splice(0)
    if (first === undefined) {
      this.#error = error
    } else if (error === null) {
      first.resolve({ value: undefined, done: true })
    } else {
      first.reject(error)
    }
    for (const call of rest) call.resolve({ value: undefined, done: true })
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    const item = this.#waiting.shift()
    if (item !== undefined) {
      this.#bytes -= item.bytes
      this.#tellRoom()
      return Promise.resolve({ value: item.message, done: false })
    }
    if (!this.#hasEnded) return new Promise((resolve, reject) => this.#calls.push({ resolve, reject }))
    const error = this.#error
    this.#error = null
    return error === null ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error)
  }

  /** Ends the iteration, not the connection: what waits is dropped. `for await` calls it when the loop is left early. */
  return(): Promise<IteratorResult<Message, undefined>> {
    this.#waiting.length = 0
    this.#bytes = 0
    this.#isFull = false
    this.end(null)
    this.#error = null
    this.#owner.left()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Only when half is free, so that the socket is not stopped and started for every message. */
  #tellRoom(): void {
    if (!this.#isFull || this.#waiting.length > this.#limits.messages / 2 || this.#bytes > this.#limits.bytes / 2) return
    this.#isFull = false
    this.#owner.readMore()
  }
}

/** @throws SluiceError ERR_SLUICE_INVALID_STATE. Two loops would each miss what the other got. */
export function refuseSecondConsumer(): never {
  throw sluiceError('ERR_SLUICE_INVALID_STATE', 'The messages of this client are being iterated already; leave that loop first')
}
