import { sluiceRangeError, sluiceTypeError } from './errors.ts'
import type { NativeTimers } from './native.ts'
import { encodePayload, tooLong } from './tasks/payload.ts'
import { checkName } from './tasks/name.ts'
import { specOf } from './tasks/call-specs.ts'
import type { TaskClient } from './tasks/client.ts'
import { currentClient } from './tasks/registry.ts'
import type { TaskCall } from './tasks/task.ts'

/** What is known of a timer. */
export interface TimerInfo {
  /** When it is due next, Unix ms; of one whose call waits for a worker, when it was. Follows the monotonic clock since the start of the server. */
  readonly next: number
  /** Milliseconds; 0 for one that is due once. */
  readonly interval: number
  /** How many of its calls have begun. */
  readonly count: number
}

/** What {@link NativeTimers.setTimer} says beside 0 and 1. */
const FULL = -1
const TOO_LONG = -2
const NO_WORKER = -3

/** Longest input, in bytes: it lies in the core until the timer is cleared. */
const INPUT_BYTES_MAX = 64 * 1024

/**
 * Timers of the whole server, by name. They are kept by the core: they survive the reload and the death of every worker, and each call runs in
 * one worker, any that is ready. They end with the server. At most `timers.max` at once, and
 * `timers.bytes` of names and inputs.
 */
export class SharedTimers {
  readonly #native: NativeTimers
  readonly #server: () => number
  readonly #client: () => TaskClient | undefined

  constructor(native: NativeTimers, server: () => number, client: () => TaskClient | undefined = currentClient) {
    this.#native = native
    this.#server = server
    this.#client = client
  }

  /**
   * Calls a task once, in `ms` milliseconds. False, and nothing changes, when there is a timer of that name: so every worker may set it. The name is
   * free again when the call begins.
   *
   * @param name 1 to 255 bytes
   * @param ms 1 or more; fractions are rounded up
   * @param task what `call()` of a task gives: the options of its definition hold, but for `delay`, `key` and `durable`; its input has at most 64 KiB
   * @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG; TypeError ERR_SLUICE_TASK_PAYLOAD with a `path` for an input that cannot be cloned,
   * RangeError for one that is too long; RangeError ERR_SLUICE_TIMERS_FULL
   */
  after(name: string, ms: number, task: TaskCall): boolean {
    return this.#set(name, ms, task, false)
  }

  /**
   * Calls a task every `ms` milliseconds, for the first time in `ms`, until it is cleared. A late tick keeps the phase: the next one comes when it was
   * planned. A tick is skipped, never replayed, when it is due while the call before it waits or runs. Otherwise as {@link after}.
   */
  every(name: string, ms: number, task: TaskCall): boolean {
    return this.#set(name, ms, task, true)
  }

  /** Clears a timer. A call that has not begun does not begin, one that has goes on. False when there is none of that name. */
  clear(name: string): boolean {
    return this.#native.clearTimer(this.#server(), name)
  }

  /** Clears every timer of the server; how many there were. */
  clearAll(): number {
    return this.#native.clearTimers(this.#server())
  }

  /** Whether there is a timer of that name. */
  has(name: string): boolean {
    return this.#native.hasTimer(this.#server(), name)
  }

  /** What is known of a timer; undefined when there is none of that name. */
  info(name: string): TimerInfo | undefined {
    const json = this.#native.timerInfo(this.#server(), name)
    return json === null ? undefined : (JSON.parse(json) as TimerInfo)
  }

  /** The names of all timers, in no order. Takes as long as there are many. */
  list(): string[] {
    return this.#native.timerNames(this.#server())
  }

  #set(name: string, ms: number, call: TaskCall, repeats: boolean): boolean {
    checkName(name, 'The name of a timer')
    if (typeof ms !== 'number') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`ms\` must be a number, got ${typeof ms}`)
    if (!(ms > 0 && ms <= Number.MAX_SAFE_INTEGER)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `\`ms\` must be from 1 to 2^53 - 1, got ${ms}`)
    if (typeof call !== 'object' || call === null) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The third argument must be what call() of a task gives, got ${typeof call}`)
    checkName(call.task, 'The name of a task')
    const where = `The input of task "${call.task}"`
    const input = encodePayload(call.input, where, 'input', INPUT_BYTES_MAX)
    const spec = specOf(call)
    const options = spec === undefined ? undefined : this.#client()?.optionsOf(spec)
    const result = this.#native.setTimer(this.#server(), name, call.task, input, Math.ceil(ms), repeats, options)
    if (result === FULL) throw sluiceRangeError('ERR_SLUICE_TIMERS_FULL', `There are as many timers as \`timers.max\` and \`timers.bytes\` allow; "${name}" was not set`)
    if (result === TOO_LONG) throw tooLong(where, input.length, INPUT_BYTES_MAX)
    if (result === NO_WORKER) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `Timer "${name}" was not set: there is never a worker of the id that \`worker\` of task "${call.task}" names`)
    return result === 1
  }
}
