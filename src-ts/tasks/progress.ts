import type { Cloneable } from '../process/api.ts'

/** Values that wait for one reader; beyond, the oldest are left out. */
const WAITING_MAX = 1024

/** The news of one task, for any number of readers, each from when it begins to read. */
export class Progress implements AsyncIterable<Cloneable> {
  readonly #readers = new Set<Reader>()
  #last: { readonly value: unknown } | undefined
  #isOver = false

  push(value: unknown): void {
    this.#last = { value }
    for (const reader of this.#readers) reader.push(value)
  }

  end(): void {
    this.#isOver = true
    for (const reader of this.#readers) reader.end()
    this.#readers.clear()
  }

  [Symbol.asyncIterator](): AsyncIterator<Cloneable> {
    const reader = new Reader((self) => this.#readers.delete(self))
    if (this.#last !== undefined) reader.push(this.#last.value)
    if (this.#isOver) reader.end()
    else this.#readers.add(reader)
    return reader
  }
}

class Reader implements AsyncIterator<Cloneable> {
  readonly #leave: (self: Reader) => void
  readonly #values: unknown[] = []
  readonly #waiting: ((result: IteratorResult<unknown>) => void)[] = []
  #isOver = false

  constructor(leave: (self: Reader) => void) {
    this.#leave = leave
  }

  push(value: unknown): void {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) return waiting({ value, done: false })
    if (this.#values.length >= WAITING_MAX) this.#values.shift()
    this.#values.push(value)
  }

  end(): void {
    this.#isOver = true
    for (const waiting of this.#waiting.splice(0)) waiting({ value: undefined, done: true })
  }

  next(): Promise<IteratorResult<Cloneable>> {
    if (this.#values.length > 0) return Promise.resolve({ value: this.#values.shift(), done: false })
    if (this.#isOver) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return(): Promise<IteratorResult<Cloneable>> {
    this.#leave(this)
    this.#values.length = 0
    this.end()
    return Promise.resolve({ value: undefined, done: true })
  }
}
