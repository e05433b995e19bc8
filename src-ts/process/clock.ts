/**
 * Time as an argument: supervision asks a {@link Clock}, so that its tests turn the hands themselves.
 */

/** Undoes {@link Clock.after}; harmless when the time has passed. */
export type Cancel = () => void

export interface Clock {
  /** Milliseconds since some fixed point; never goes back. */
  now(): number
  /** Runs `run` once, `ms` milliseconds from now at the earliest. */
  after(ms: number, run: () => void): Cancel
}

/** The real one. Its timers keep the thread alive: what waits for them is always work that must still happen. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, TIMER_MAX))
    return () => clearTimeout(timer)
  },
}

/** The longest delay that Node's timers can hold; beyond it they would fire at once. */
const TIMER_MAX = 2 ** 31 - 1

/** Waits for `settled`, but no longer than `ms` milliseconds or until `signal` aborts. True when it settled in time. Never rejects. */
export function within(clock: Clock, ms: number, settled: Promise<unknown>, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const late = (): void => finish(false)
    const cancel = clock.after(ms, late)
    const finish = (inTime: boolean): void => {
      cancel()
      signal?.removeEventListener('abort', late)
      resolve(inTime)
    }
    const done = (): void => finish(true)
    settled.then(done, done)
    if (signal?.aborted) late()
    else signal?.addEventListener('abort', late, { once: true })
  })
}
