/**
 * The end of this thread, for what runs on behalf of all: it is aborted when a worker has no time left for what it began. The controller
 * hangs on `globalThis`, for the application may see another copy of this module than the one that ends the worker.
 */
const KEY: unique symbol = Symbol.for('sluice.ending') as never
const holder = globalThis as typeof globalThis & { [KEY]?: AbortController }

/** Aborted when this thread is about to end; never in a thread that is no worker's. */
export function ending(): AbortSignal {
  holder[KEY] ??= new AbortController()
  return holder[KEY].signal
}

/** Says that it is about to. */
export function end(reason: unknown): void {
  holder[KEY]?.abort(reason)
}
