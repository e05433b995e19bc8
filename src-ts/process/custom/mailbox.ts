import { sizeOf } from './size-of.ts'

/** Bytes that may wait in one mailbox, as far as they can be counted. */
const BYTES_MAX = 64 * 1024 * 1024
/** Bytes of a stream that are read at once. */
const CHUNK_BYTES_MAX = 64 * 1024

/** Somebody who waits for messages. */
export interface Reader {
  /** False: it has gone meanwhile, and gets nothing. */
  isWaiting(): boolean
  /** Called once, with one message in a list, or with none when none comes any more. */
  take(messages: readonly unknown[]): void
}

/** Somebody who waits for room. */
export interface Writer {
  readonly message: unknown
  /** False: it has gone meanwhile, and its message with it. */
  isWaiting(): boolean
  /** Called once. False: there will be no room any more. */
  done(isKept: boolean): void
}

/** Messages in order, each for one reader, with a bound. */
export class Mailbox {
  readonly #capacity: number
  readonly #isStream: boolean
  readonly #messages: unknown[] = []
  #readers: Reader[] = []
  #writers: Writer[] = []
  #first = 0
  #bytes = 0
  #isClosed = false
  #drained: (() => void)[] = []

  /** `isStream`: the messages are bytes, where one ends says nothing. */
  constructor(capacity: number, isStream = false) {
    this.#capacity = capacity
    this.#isStream = isStream
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
    this.#drained.push(drained)
  }

  /** False: there is no room, and the message is not kept. */
  offer(message: unknown): boolean {
    if (!this.#keep(message)) return false
    this.#deliver()
    return true
  }

  /** Keeps a message now or when there is room. */
  write(writer: Writer): void {
    this.#writers = this.#writers.filter((one) => one.isWaiting())
    this.#writers.push(writer)
    this.#deliver()
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

  /** Who waits for room waits in vain. */
  refuseWriters(): void {
    for (const writer of this.#writers.splice(0)) if (writer.isWaiting()) writer.done(false)
  }

  #keep(message: unknown): boolean {
    if (this.#isClosed || this.length >= this.#capacity) return false
    const bytes = sizeOf(message)
    // A single message may be larger: the link has brought it already.
    if (this.length > 0 && this.#bytes + bytes > BYTES_MAX) return false
    this.#messages.push(message)
    this.#bytes += bytes
    return true
  }

  #deliver(): void {
    for (;;) {
      this.#admit()
      if (this.#readers.length === 0 || (this.length === 0 && !this.#isClosed)) break
      const reader = this.#readers.shift()!
      if (reader.isWaiting()) reader.take(this.#shift())
    }
    if (this.#isClosed) this.refuseWriters()
    if (this.#drained.length > 0 && !this.isHigh) for (const drained of this.#drained.splice(0)) drained()
  }

  #admit(): void {
    while (this.#writers.length > 0) {
      const writer = this.#writers[0]!
      if (writer.isWaiting()) {
        if (!this.#keep(writer.message)) return
        writer.done(true)
      }
      this.#writers.shift()
    }
  }

  #shift(): unknown[] {
    let count = Math.min(1, this.length)
    if (this.#isStream) {
      let bytes = 0
      for (count = 0; count < this.length; count += 1) {
        bytes += (this.#messages[this.#first + count] as Uint8Array).length
        if (count > 0 && bytes > CHUNK_BYTES_MAX) break
      }
    }
    const messages = this.#messages.slice(this.#first, this.#first + count)
    for (const message of messages) this.#bytes -= sizeOf(message)
    this.#first += count
    // Shifting one by one would move all the others each time.
    if (this.#first * 2 >= this.#messages.length) {
      this.#messages.splice(0, this.#first)
      this.#first = 0
    }
    return messages.length > 1 ? [join(messages as Uint8Array[])] : messages
  }
}

/** Not a `Buffer`, which is another thing at the other end of a clone. */
function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((bytes, { length }) => bytes + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
