/** Delays before a crashed worker is replaced, in milliseconds: the first replacement comes at once, the last delay repeats. */
const DELAYS_MS = [0, 100, 1_000, 2_000, 5_000] as const

/** A worker that served this long was healthy: its death starts the delays from the beginning. */
const HEALTHY_AFTER_MS = 30_000

/**
 * How long to wait before the next replacement in one seat. A crash that comes once costs nothing; one that comes at
 * every start must not burn a core. Pure: the caller brings the time.
 */
export class Backoff {
  #deaths = 0
  #servingSince: number | undefined

  /** A worker began to serve at `now`. */
  serving(now: number): void {
    this.#servingSince = now
  }

  /** A worker died, or failed to start, at `now`. Returns the milliseconds to wait before the replacement. */
  died(now: number): number {
    if (this.#servingSince !== undefined && now - this.#servingSince >= HEALTHY_AFTER_MS) this.#deaths = 0
    this.#servingSince = undefined
    const delay = DELAYS_MS[Math.min(this.#deaths, DELAYS_MS.length - 1)] as number
    this.#deaths += 1
    return delay
  }

  /** New code starts with a clean slate. */
  reset(): void {
    this.#deaths = 0
    this.#servingSince = undefined
  }
}
