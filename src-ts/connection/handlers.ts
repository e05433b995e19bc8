import type { CloseInfo } from '../websocket/close-info.ts'

type Awaitable<T> = T | Promise<T>

/** Where a connection comes from that another worker had before. */
export interface AdoptedFrom {
  /** The logical number of that worker, as in `server.worker.id`; after a reload often the own one. */
  readonly worker: number
  /** `rebalance`: it was bound to a uid whose connections this worker has (`dispatch: 'uid'`). */
  readonly reason: 'reload' | 'crash' | 'stuck' | 'recycle' | 'rebalance'
}

/** Handlers that every kind of connection has. */
export interface CommonHandlers<C> {
  /** Before the first event in a worker that has the connection from another one, which has settled its last. */
  adopt?(conn: C, from: AdoptedFrom): Awaitable<void>
  /** The connection has ended; the last event, once for each that was opened. Sending does nothing any more. */
  close?(conn: C, info: CloseInfo): Awaitable<void>
  /** More than `limits.highWaterMark` waits to be sent. Not serial with the others. */
  highWater?(conn: C): void
  /** After a `send()` that gave -1 or 0: it may go on. Not serial with the others. */
  drain?(conn: C): void
  /** What another handler threw; the connection is closed after it. */
  error?(conn: C, error: unknown): void
  /** How many handlers of one connection may be pending at once; order of their ends is then up to them. @default 1 */
  readonly concurrency?: number
}
