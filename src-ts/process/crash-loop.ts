/** `errors` deaths within `within` milliseconds of a reload condemn it; `false` never does. */
export type RollbackRule = { readonly errors: number; readonly within: number } | false

/** Watches the workers after a reload and says once when its code has to go. Pure: the caller brings the time. */
export class CrashLoop {
  readonly #rule: RollbackRule
  #since: number | undefined
  #deaths = 0

  constructor(rule: RollbackRule) {
    this.#rule = rule
  }

  /** New code took over at `now`: count from here. */
  arm(now: number): void {
    this.#since = now
    this.#deaths = 0
  }

  /** Stop counting, because the code was replaced or is the one to fall back to. */
  disarm(): void {
    this.#since = undefined
  }

  /** A worker died at `now`. True exactly once per {@link arm}: with the death that reaches the rule. */
  died(now: number): boolean {
    if (this.#rule === false || this.#since === undefined) return false
    if (now - this.#since > this.#rule.within) {
      this.disarm()
      return false
    }
    this.#deaths += 1
    if (this.#deaths < this.#rule.errors) return false
    this.disarm()
    return true
  }
}
