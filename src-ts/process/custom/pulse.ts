import type { Cancel, Clock } from '../clock.ts'

/** Questions within the time after which nobody may have answered. */
const ASKS = 4

export interface PulseOptions {
  readonly clock: Clock
  /** Milliseconds. */
  readonly stuckAfter: number
  /** Has it answered; `answered` is called when it does. */
  readonly ask: (answered: () => void) => void
  /** It has not, for so long. Called once. */
  readonly stuck: () => void
}

/** Asks an event loop again and again whether it still turns. That of the asker may be late itself: what it did not get round to reading is not held against the other. */
export class Pulse {
  readonly #options: PulseOptions
  readonly #every: number
  /** When the question was asked that is open. */
  #askedAt: number | undefined
  #lookedAt: number
  #cancel: Cancel

  constructor(options: PulseOptions) {
    this.#options = options
    this.#every = Math.max(1, options.stuckAfter / ASKS)
    this.#lookedAt = options.clock.now()
    this.#cancel = options.clock.after(this.#every, this.#look)
    this.#ask()
  }

  stop(): void {
    this.#cancel()
    this.#cancel = () => {}
  }

  readonly #look = (): void => {
    const { clock, stuck, stuckAfter } = this.#options
    const now = clock.now()
    if (this.#askedAt !== undefined) {
      // Answers that have come since the last look may lie unread, as this runs before they are.
      if (now - this.#lookedAt > 2 * this.#every) this.#askedAt = now
      else if (now - this.#askedAt >= stuckAfter) return stuck()
    }
    this.#lookedAt = now
    this.#cancel = clock.after(this.#every, this.#look)
    if (this.#askedAt === undefined) this.#ask()
  }

  #ask(): void {
    const asked = this.#options.clock.now()
    this.#askedAt = asked
    this.#options.ask(() => {
      this.#askedAt = undefined
    })
  }
}
