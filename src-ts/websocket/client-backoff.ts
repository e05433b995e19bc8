/** When to connect again. Durations are milliseconds. */
export interface ReconnectOptions {
  /** Delay before the first try. From 1. @default 500 */
  readonly min?: number | undefined
  /** Longest delay. At least `min`. @default 30 000, or `min` if that is more */
  readonly max?: number | undefined
  /** What each further delay is multiplied with. From 1 to 100. @default 2 */
  readonly factor?: number | undefined
  /** Part of the delay that is random, so that the clients of a server that was away do not come back at once. From 0 to 1. @default 0.5 */
  readonly jitter?: number | undefined
  /** Tries in a row before the client gives up. @default Infinity */
  readonly retries?: number | undefined
}

export type ReconnectSettings = { readonly [K in keyof ReconnectOptions]-?: number }

/** One try to come. */
export interface Retry {
  /** Its number, from 1. */
  readonly attempt: number
  /** Milliseconds to wait before it. */
  readonly delay: number
}

/**
 * Exponential back-off with jitter. The count starts anew only after a connection that lasted at least as long as the delay before
 * it: a server that accepts and then hangs up at once must not be tried at full speed.
 */
export class Backoff {
  readonly #settings: ReconnectSettings
  readonly #random: () => number
  #attempt = 0
  #delay = 0
  #openedAt: number | null = null

  /** `random` gives numbers from 0 to below 1. */
  constructor(settings: ReconnectSettings, random: () => number = Math.random) {
    this.#settings = settings
    this.#random = random
  }

  /** A connection stands. `now` is in milliseconds of a monotonic clock. */
  opened(now: number): void {
    this.#openedAt = now
  }

  /** A connection was lost or did not come about. `atLeast` is the time the server asked for; `max` bounds it. Null: give up. */
  next(now: number, atLeast = 0): Retry | null {
    const { min, max, factor, jitter, retries } = this.#settings
    if (this.#openedAt !== null && now - this.#openedAt >= this.#delay) this.#attempt = 0
    this.#openedAt = null
    if (this.#attempt >= retries) return null
    const full = Math.min(max, min * factor ** this.#attempt)
    this.#attempt += 1
    this.#delay = Math.round(Math.min(max, Math.max(atLeast, full * (1 - jitter * this.#random()))))
    return { attempt: this.#attempt, delay: this.#delay }
  }
}
