/** Most occasions that are let pass after looking was in vain. */
const SKIPS_MAX = 255

/**
 * Whether it pays to look a moment longer for records before a thread sleeps. Learnt from whether it did: each time in vain doubles how many occasions are let
 * pass before the next try, one success forgets that. So a thread whose other half has no core of its own to answer from, or needs long, hardly ever looks.
 */
export class Patience {
  #skips = 0
  #left = 0

  /** Whether to look now. Asked once for each occasion. */
  wanted(): boolean {
    if (this.#left === 0) return true
    this.#left--
    return false
  }

  /** Something came while it looked. */
  paid(): void {
    this.#skips = 0
  }

  /** Nothing came. */
  inVain(): void {
    this.#skips = Math.min(this.#skips * 2 + 1, SKIPS_MAX)
    this.#left = this.#skips
  }
}
