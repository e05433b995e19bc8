/** Errors that one worker may report to the master per second. An application that fails on every request must not fill the master's memory with stacks. */
const PER_SECOND = 100

/** Lets through so many errors per second, and counts the others. Pure: the caller brings the time. */
export class ReportLimit {
  #windowStart = -Infinity
  #passed = 0
  #heldBack = 0

  /** For an error at `now`: how many were held back since the last that passed, or undefined when this one is held back. */
  pass(now: number): number | undefined {
    if (now - this.#windowStart >= 1_000) {
      this.#windowStart = now
      this.#passed = 0
    }
    if (this.#passed >= PER_SECOND) {
      this.#heldBack += 1
      return undefined
    }
    this.#passed += 1
    const more = this.#heldBack
    this.#heldBack = 0
    return more
  }
}
