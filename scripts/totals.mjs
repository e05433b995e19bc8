/**
 * Reads what a test runner prints: how many tests passed and failed, by the runner's own totals and not by a count of lines
 * that look like tests, and which failed with what error.
 */

/** What is kept of one failure in lines, of one line in characters, and of one run in failures: the rest is in the run's own output. */
const LINES_MAX = 30
const CHARACTERS_MAX = 400
const FAILURES_MAX = 40
/** How many lines about passing tests stand for one line of progress. */
const PROGRESS_EVERY = 100

/**
 * @typedef {object} Failure
 * @property {string} name the test, or what else broke
 * @property {readonly string[]} lines the error, at most 30 lines of it
 */

/** One run of one runner. Feed it every line, then read the counts and the failures. */
export class Totals {
  passed = 0
  failed = 0
  #reader
  /** @type {{ name: string, lines: string[], more: number }[]} */
  #failures = []
  #unkept = 0
  #current
  #last = []
  #isComplete = false
  #progress = 0

  /** @param {keyof typeof readers} runner */
  constructor(runner) {
    this.#reader = readers[runner]
  }

  /**
   * @param {string} raw
   * @returns {string | undefined} what to print where passing tests are of no interest: the line, a line of progress for every
   * hundredth of them, or nothing
   */
  line(raw) {
    // oxlint-disable-next-line no-control-regex
    const text = raw.replace(/\u001b\[[\d;]*m/g, '').trimEnd()
    const { passed = 0, failed = 0 } = this.#reader.totals(text.trim()) ?? {}
    this.passed += passed
    this.failed += failed
    this.#follow(text)
    if (!this.#reader.passes.test(text)) return raw
    this.#progress += 1
    return this.#progress % PROGRESS_EVERY === 0 ? `… ${this.#progress} tests passed` : undefined
  }

  /**
   * The counts at the end of the run, and its failures. A run that broke without naming a failed test is one failure; a check
   * that has no tests of its own is one test.
   *
   * @param {boolean} ok
   * @param {string} [reason] how it ended when not `ok`
   * @returns {{ passed: number, failed: number, failures: readonly Failure[] }}
   */
  end(ok, reason = 'it broke') {
    const failures = this.#failures.map(({ name, lines, more }) => ({ name, lines: more > 0 ? [...lines, `… and ${more} more lines`] : lines }))
    if (this.#unkept > 0) failures.push({ name: `and ${this.#unkept} more`, lines: [] })
    if (ok) return { passed: this.#reader === readers.check ? 1 : this.passed, failed: this.failed, failures }
    // Without its own totals the run may have broken anywhere, whatever it named before; what it said last tells where.
    if (failures.length === 0 || !this.#isComplete) failures.push({ name: reason, lines: this.#last })
    return { passed: this.passed, failed: Math.max(1, this.failed), failures }
  }

  /** Remembers the line, and adds it to the failure that it belongs to, if any. */
  #follow(text) {
    const { alone, begins, complete, ends } = this.#reader
    const line = text.slice(0, CHARACTERS_MAX)
    this.#last.push(line)
    if (this.#last.length > LINES_MAX) this.#last.shift()
    if (complete.test(text)) this.#isComplete = true
    const broken = alone.exec(line)?.[1]
    const name = begins.exec(line)?.[1]
    if (broken !== undefined) this.#add(broken)
    else if (name !== undefined) this.#current = this.#add(name)
    else if (ends.test(text)) this.#current = undefined
    else if (this.#current && line !== '' && line !== '  ---') {
      if (this.#current.lines.length < LINES_MAX) this.#current.lines.push(line)
      else this.#current.more += 1
    }
  }

  #add(name) {
    const failure = { name, lines: [], more: 0 }
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(failure)
    else this.#unkept += 1
    return failure
  }
}

const never = /(?!)/

/**
 * `totals` reads a line of totals. `passes` tells a line about a passing test, `begins` the first line of a failure and its name,
 * `ends` the line after its last, `alone` a failure that is one line, `complete` what is only printed when tests have run to the end.
 */
const readers = {
  cargo: {
    /** One `test result:` line per test binary and per crate's doc tests. */
    totals(text) {
      const [, passed, failed] = /^test result: \w+\. (\d+) passed; (\d+) failed;/.exec(text) ?? []
      return passed === undefined ? undefined : { passed: Number(passed), failed: Number(failed) }
    },
    passes: /^test .+ \.\.\. ok$/,
    begins: /^---- (.+) stdout ----$/,
    ends: /^(?:failures:$|test result: |running \d+ tests?$)/,
    // A binary that a signal ended has no totals and names no test.
    alone: /^ *(process didn't exit successfully: .*\(signal: .*)$/,
    complete: /^test result: /,
  },
  tap: {
    /** The closing comments of TAP; AVA's usual report leaves the number of passed tests out when one failed. */
    totals(text) {
      const [, what, count] = /^# (pass|fail) +(\d+)$/.exec(text) ?? []
      if (count === undefined) return undefined
      return what === 'pass' ? { passed: Number(count), failed: 0 } : { passed: 0, failed: Number(count) }
    },
    passes: /^ok \d+ - (?!.* # (?:SKIP|TODO)$)/,
    begins: /^not ok \d+ - (?!.* # TODO$)(.*)$/,
    ends: /^(?: {2}\.\.\.$|(?:not )?ok \d+ - )/,
    alone: never,
    // AVA's reporter itself may break off; a run that ended has said how many failed.
    complete: /^# fail +\d+$/,
  },
  /** A program whose exit code is all it says. */
  check: { totals: () => undefined, passes: never, begins: never, ends: never, alone: never, complete: never },
}
