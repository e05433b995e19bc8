import { within, type Clock } from './clock.ts'
import type { LeaveReason } from './messages.ts'
import type { WorkerHandle } from './worker-handle.ts'

/** What remains for hooks and `waitUntil` work when the requests in hand have used up `maxWaitTime`, in milliseconds. */
const STOP_MIN_MS = 1_000
/** What the thread gets to end after its own time is over, before it is terminated. */
const END_MS = 500

export interface RetirementOptions {
  readonly clock: Clock
  /** Takes the worker out of dispatch. */
  readonly drain: (slot: number, reason: LeaveReason) => void
  readonly maxWaitTime: number
  /** How long the application goes on undisturbed before it is told, in milliseconds. */
  readonly drainGrace: number
}

/**
 * The last part of a worker's life: it gets nothing new, finishes what it has, runs its hooks and ends.
 * Every wait is bounded; a worker that overstays them all is terminated.
 */
export class Retirement {
  readonly worker: WorkerHandle
  /** The thread has ended. `false`: it had to be terminated. Never rejects. */
  readonly done: Promise<boolean>
  readonly #hurry = new AbortController()

  /** Begins at once: when the constructor returns, the worker is out of dispatch. */
  constructor(worker: WorkerHandle, reason: LeaveReason, options: RetirementOptions) {
    this.worker = worker
    this.done = this.#run(reason, options)
  }

  /** Cuts the waiting for work in hand short. */
  hurry(): void {
    this.#hurry.abort()
  }

  async #run(reason: LeaveReason, { clock, drain, maxWaitTime, drainGrace }: RetirementOptions): Promise<boolean> {
    const { worker } = this
    const { signal } = this.#hurry
    const deadline = clock.now() + maxWaitTime
    drain(worker.slot, reason)
    const isIdle = drainGrace > 0 && (await within(clock, Math.min(drainGrace, maxWaitTime), worker.drained, signal))
    worker.drain(reason)
    if (!isIdle) await within(clock, Math.max(0, deadline - clock.now()), worker.drained, signal)
    const wasHurried = signal.aborted
    const timeout = Math.max(wasHurried ? 0 : deadline - clock.now(), STOP_MIN_MS)
    worker.stop(timeout)
    if (await within(clock, timeout + END_MS, worker.exited, wasHurried ? undefined : signal)) return true
    if (!wasHurried && signal.aborted && (await within(clock, STOP_MIN_MS, worker.exited))) return true
    worker.terminate()
    // Not awaited without limit: a thread inside a native call may never end.
    await within(clock, END_MS, worker.exited)
    return false
  }
}
