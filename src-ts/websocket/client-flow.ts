/** What the outgoing side of a client is told and asks. */
export interface FlowLimits {
  readonly highWaterMark: number
  readonly sendBuffer: number
}

/**
 * Decides whether a message may be sent and who has to wait. The bytes themselves wait in the socket; this only counts on them.
 */
export class SendFlow {
  readonly #limits: FlowLimits
  readonly #waiters = new Set<{ readonly resolve: () => void; readonly reject: (reason: unknown) => void }>()
  /** Waiting bytes at which the sender may go on; null when nobody was told to wait. */
  #drainAt: number | null = null

  constructor(limits: FlowLimits) {
    this.#limits = limits
  }

  /** Whether `bytes` more fit behind the `buffered` ones. A refusal asks for a drain that makes room for just these, if there can be. */
  accepts(bytes: number, buffered: number): boolean {
    const room = this.#limits.sendBuffer - bytes
    if (buffered <= room) return true
    if (room >= 0) this.#wait(room)
    return false
  }

  /** Whether the sender should pause, after a message that left `buffered` bytes waiting. */
  isSlow(buffered: number): boolean {
    if (buffered <= this.#limits.highWaterMark) return false
    this.#wait(this.#limits.highWaterMark)
    return true
  }

  /** Some bytes were written and `buffered` still wait. True once for each time the sender was told to wait and may go on. */
  written(buffered: number): boolean {
    if (this.#drainAt === null || buffered > this.#drainAt) return false
    this.release()
    return true
  }

  /** Lets everybody go on: the bytes are out, or a new connection starts with none. */
  release(): void {
    this.#drainAt = null
    for (const waiter of this.#waiters) waiter.resolve()
    this.#waiters.clear()
  }

  /** Nothing will be sent any more. */
  fail(error: Error): void {
    this.#drainAt = null
    for (const waiter of this.#waiters) waiter.reject(error)
    this.#waiters.clear()
  }

  /** Whether somebody was told to wait. */
  get isHeld(): boolean {
    return this.#drainAt !== null
  }

  /** Resolves at the next release. Rejects with the reason of `signal` or the error of `fail()`. */
  async released(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    let onAbort: (() => void) | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter = { resolve, reject }
        this.#waiters.add(waiter)
        onAbort = () => {
          this.#waiters.delete(waiter)
          reject(signal?.reason)
        }
        signal?.addEventListener('abort', onAbort, { once: true })
      })
    } finally {
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort)
    }
  }

  #wait(drainAt: number): void {
    this.#drainAt = Math.min(this.#drainAt ?? this.#limits.highWaterMark, drainAt)
  }
}
