import { forget, openMailbox, receive } from '../bridge/mailbox.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import { tableFailure } from './failure.ts'
import type { NativeTable } from './native-table.ts'

/** What happened to a row, or how many events of the table, of any rows, could not be told because this thread or the machine was too slow. */
export type TableEvent =
  /** 'set': made or changed; 'delete': deleted, or it made room for another; 'expire': its time was over. */
  { readonly type: 'set' | 'delete' | 'expire'; readonly key: string } | { readonly type: 'missed'; readonly count: number }

export interface WatchOptions {
  /** Ends the watch: the next step of the iteration throws its reason. */
  readonly signal?: AbortSignal | undefined
}

/** The events of a table from the moment this is made, taken from the core in batches. Keeps the event loop alive until it has ended. */
export class TableWatch implements AsyncIterableIterator<TableEvent> {
  readonly #native: NativeTable
  readonly #ticket: number
  readonly #signal: AbortSignal | undefined
  readonly #abort = (): void => {
    this.#end()
    this.#news()
  }
  #taken: readonly (readonly [string, string | number])[] = []
  #next = 0
  #isOver = false
  /** Set while a step waits. */
  #news: () => void = () => {}
  /** Steps come one after the other, also when they are asked for at once. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(table: string, native: NativeTable, prefix: string, { signal }: WatchOptions) {
    if (typeof prefix !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The prefix to watch in table "${table}" must be a string, got ${typeof prefix}`)
    this.#native = native
    this.#signal = signal
    this.#isOver = signal?.aborted ?? false
    this.#ticket = 0
    if (this.#isOver) return
    openMailbox()
    const ticket = native.watch(prefix)
    if (ticket === null) throw tableFailure(native.failure())
    if (ticket === 0) throw sluiceError('ERR_SLUICE_INVALID_STATE', `Table "${table}" has 1024 watches in this thread already`)
    this.#ticket = ticket
    receive(ticket, () => this.#news())
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  next(): Promise<IteratorResult<TableEvent, undefined>> {
    const step = this.#last.then(() => this.#step())
    this.#last = step.catch(() => {})
    return step
  }

  return(): Promise<IteratorResult<TableEvent, undefined>> {
    this.#end()
    this.#news()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async #step(): Promise<IteratorResult<TableEvent, undefined>> {
    while (!this.#isOver) {
      if (this.#next < this.#taken.length) {
        const [type, what] = this.#taken[this.#next++]!
        return { done: false, value: type === 'missed' ? { type, count: what as number } : ({ type, key: what } as TableEvent) }
      }
      const taken = this.#native.watchTake(this.#ticket)
      if (taken === null) throw tableFailure(this.#native.failure())
      this.#taken = JSON.parse(taken) as readonly (readonly [string, string | number])[]
      this.#next = 0
      // The core tells of the next event only after it was found to have none.
      if (this.#taken.length === 0) await new Promise<void>((resolve) => (this.#news = resolve))
    }
    this.#signal?.throwIfAborted()
    return { done: true, value: undefined }
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#native.watchEnd(this.#ticket)
    forget(this.#ticket)
  }
}
