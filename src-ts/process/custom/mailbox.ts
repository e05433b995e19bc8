/** Bytes that may wait in one mailbox, of texts and byte arrays; other messages are bounded by their number alone. */
const BYTES_MAX = 64 * 1024 * 1024

/** Somebody who waits for messages. */
export interface Reader {
  /** False: it has gone meanwhile, and gets nothing. */
  isWaiting(): boolean
  /** Called once, with one message in a list, or with none when none comes any more. */
  take(messages: readonly unknown[]): void
}

/** Messages in order, each for one reader, with a bound. */
export class Mailbox {
  readonly #capacity: number
  readonly #messages: unknown[] = []
  #readers: Reader[] = []
  #first = 0
  #bytes = 0
  #isClosed = false
  #drained: (() => void) | undefined

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get length(): number {
    return this.#messages.length - this.#first
  }

  /** No reader has taken half of what may wait: whoever can pause should. */
  get isHigh(): boolean {
    return this.length * 2 > this.#capacity || this.#bytes * 2 > BYTES_MAX
  }

  /** `drained` is called once, when it is not {@link isHigh} any more. */
  whenLow(drained: () => void): void {
    this.#drained = drained
  }

  /** False: there is no room, and the message is not kept. */
  offer(message: unknown): boolean {
    if (this.#isClosed || this.length >= this.#capacity) return false
    const bytes = sizeOf(message)
    // A single message may be larger: the link has brought it already.
    if (this.length > 0 && this.#bytes + bytes > BYTES_MAX) return false
    this.#messages.push(message)
    this.#bytes += bytes
    this.#deliver()
    return true
  }

  /** `reader` gets the next message, now or when there is one. */
  read(reader: Reader): void {
    this.#readers = this.#readers.filter((one) => one.isWaiting())
    this.#readers.push(reader)
    this.#deliver()
  }

  /** What waits can still be read; then readers get nothing. */
  close(): void {
    this.#isClosed = true
    this.#deliver()
  }

  #deliver(): void {
    while (this.#readers.length > 0 && (this.length > 0 || this.#isClosed)) {
      const reader = this.#readers.shift()!
      if (reader.isWaiting()) reader.take(this.#shift())
    }
    if (this.#drained !== undefined && !this.isHigh) {
      const drained = this.#drained
      this.#drained = undefined
      drained()
    }
  }

  #shift(): unknown[] {
    const messages = this.#messages.slice(this.#first, this.#first + 1)
    for (const message of messages) this.#bytes -= sizeOf(message)
    this.#first += messages.length
    // Shifting one by one would move all the others each time.
    if (this.#first * 2 >= this.#messages.length) {
      this.#messages.splice(0, this.#first)
      this.#first = 0
    }
    return messages
  }
}

function sizeOf(message: unknown): number {
  if (typeof message === 'string') return message.length * 2
  return ArrayBuffer.isView(message) ? message.byteLength : 0
}
