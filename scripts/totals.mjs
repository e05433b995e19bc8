/**
 * Reads how many tests passed and failed from what a test runner prints: each runner's own totals, not a
 * count of lines that look like tests.
 */

/** One run of one runner. Feed it every line, then read the counts. */
export class Totals {
  passed = 0
  failed = 0
  #read

  /** @param {keyof typeof readers} runner */
  constructor(runner) {
    this.#read = readers[runner]
  }

  line(text) {
    // oxlint-disable-next-line no-control-regex
    const { passed, failed } = this.#read(text.replace(/\u001b\[[\d;]*m/g, '').trim())
    this.passed += passed
    this.failed += failed
  }

  /**
   * The counts at the end of the run. A run that broke without naming a failed test is one failure; a check
   * that has no tests of its own is one test.
   */
  end(ok) {
    if (!ok) return { passed: this.passed, failed: Math.max(1, this.failed) }
    return { passed: this.#read === readers.check ? 1 : this.passed, failed: this.failed }
  }
}

const none = Object.freeze({ passed: 0, failed: 0 })

const readers = {
  /** One `test result:` line per test binary and per crate's doc tests. */
  cargo(text) {
    const [, passed, failed] = /^test result: \w+\. (\d+) passed; (\d+) failed;/.exec(text) ?? []
    return passed === undefined ? none : { passed: Number(passed), failed: Number(failed) }
  },
  /** The closing comments of TAP; AVA's usual report leaves the number of passed tests out when one failed. */
  tap(text) {
    const [, what, count] = /^# (pass|fail) +(\d+)$/.exec(text) ?? []
    if (count === undefined) return none
    return what === 'pass' ? { passed: Number(count), failed: 0 } : { passed: 0, failed: Number(count) }
  },
  /** A program whose exit code is all it says. */
  check: () => none,
}
