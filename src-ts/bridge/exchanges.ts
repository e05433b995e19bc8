import type { Lane } from './lane.ts'
import { AbortReason, BODY_INCOMPLETE, DRAIN_SPOOLED, FIELD_BYTES, RECORD_WORDS, RecordKind, Word } from './record.ts'

/** An exchange that outlived its handler call, and what the core may still tell it. */
export interface OpenExchange {
  readonly index: number
  readonly generation: number
  /** The next bytes of the request body, a copy. */
  bodyChunk(data: Uint8Array<ArrayBuffer>): void
  /** No more of the request body follows. */
  bodyEnd(complete: boolean): void
  /** The client has closed its half. An answer is still sent, but most likely nobody reads it. */
  halfClosed(): void
  /** The soft time limit has passed. An answer is still sent. */
  late(): void
  /** The client or the answer's deadline is lost; `reason` as in `AbortReason`. Nothing follows. */
  lost(reason: number): void
  /** A streamed answer may go on. */
  drained(): void
  /** The disk has caught up with the form that is read. */
  formNews(): void
}

/**
 * The open exchanges of one lane, by their index.
 *
 * Indexes are small and used again, so this is a dense array no longer than the most requests that lane's reactor had in
 * flight at once (`limits.concurrency`); the generation tells whether a record means the one that is here.
 */
export class Exchanges<T extends OpenExchange> {
  readonly #byIndex: (T | undefined)[] = []

  add(exchange: T): void {
    const byIndex = this.#byIndex
    while (byIndex.length < exchange.index) byIndex.push(undefined)
    byIndex[exchange.index] = exchange
  }

  /** Forgets `exchange`, unless its index has gone to a later one. */
  remove(exchange: T): void {
    if (this.#byIndex[exchange.index] === exchange) this.#byIndex[exchange.index] = undefined
  }

  /** Hands a record on that follows an HTTP record; one for an exchange that is over is dropped. */
  deliver(lane: Lane, at: number, kind: number): void {
    const { words } = lane
    const exchange = this.#byIndex[words[at + Word.INDEX]!]
    if (exchange === undefined || exchange.generation !== words[at + Word.GENERATION]) return
    switch (kind) {
      case RecordKind.BODY_CHUNK: {
        const fields = words[at + Word.KIND]! >>> 16
        const start = (at + RECORD_WORDS) * 4 + fields * FIELD_BYTES + words[at + Word.HEAD_LENGTH]!
        exchange.bodyChunk(lane.copy(start, words[at + Word.BODY_LENGTH]!))
        return
      }
      case RecordKind.BODY_END:
        exchange.bodyEnd((words[at + Word.KIND]! & BODY_INCOMPLETE) === 0)
        return
      case RecordKind.ABORT:
        if (words[at + Word.TARGET] === AbortReason.HALF_CLOSED) return exchange.halfClosed()
        if (words[at + Word.TARGET] === AbortReason.SOFT_TIMEOUT) return exchange.late()
        this.remove(exchange)
        exchange.lost(words[at + Word.TARGET]!)
        return
      case RecordKind.DRAIN:
        if ((words[at + Word.KIND]! & DRAIN_SPOOLED) !== 0) exchange.formNews()
        else exchange.drained()
    }
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (const exchange of this.#byIndex) if (exchange !== undefined) yield exchange
  }
}
