import { utf8Slice, type Lane } from '../bridge/lane.ts'
import { TASK_WORDS, TaskFlag, TaskWord } from '../bridge/record.ts'
import { sluiceError } from '../errors.ts'
import type { NativeCalls } from '../native.ts'
import { isThenable } from '../thenable.ts'
import { decodePayload } from './payload.ts'
import { findTask, type TaskContext } from './task.ts'

/** How a call ended, as the core counts it. */
const Outcome = { DONE: 0, FAILED: 1, UNKNOWN: 2 } as const

/** What the calls of one worker are run with. */
export interface CallsOptions {
  readonly native: NativeCalls
  /** The attachment of this thread. */
  readonly worker: number
  readonly report: (error: unknown) => void
  /** A handler is pending; the worker waits for it when it leaves. */
  readonly begin: () => void
  readonly end: () => void
}

/** The calls of tasks that one worker runs. The core bounds how many it gets at once. */
export class Calls {
  readonly #options: CallsOptions
  #hurry: AbortController | undefined

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** Runs a TASK record. */
  deliver(lane: Lane, at: number): void {
    const { native, report, worker } = this.#options
    const { bytes, words } = lane
    const id = (words[at + TaskWord.ID_LOW]! >>> 0) + words[at + TaskWord.ID_HIGH]! * 2 ** 32
    const start = (at + TASK_WORDS) * 4
    const inputAt = start + words[at + TaskWord.NAME_LENGTH]!
    // From here on it is ours, and nobody gets it if this worker dies.
    if (!native.beginCall(worker, id)) return
    const name = utf8Slice.call(bytes, start, inputAt)
    const isParcel = ((words[at + TaskWord.KIND]! >> 8) & TaskFlag.PARCEL) !== 0
    const input = isParcel ? native.takeParcel(worker, id, 0) : undefined
    const handle = findTask(name)
    if (handle === undefined) {
      native.endCall(worker, id, Outcome.UNKNOWN, null)
      report(sluiceError('ERR_SLUICE_TASK_UNKNOWN', `No task "${name}" is defined in this worker: defineTask() must be called by a module that the app imports`))
      return
    }
    try {
      const result = handle(input === undefined ? decodePayload(bytes, inputAt, inputAt + words[at + TaskWord.INPUT_LENGTH]!) : decodePayload(input), this.#context(id))
      if (isThenable(result)) this.#hold(id, result)
      else native.endCall(worker, id, Outcome.DONE, null)
    } catch (error) {
      native.endCall(worker, id, Outcome.FAILED, null)
      report(error)
    }
  }

  /** Fires the signal of all that runs, and of what still comes. */
  abort(reason: unknown): void {
    this.#hurry ??= new AbortController()
    this.#hurry.abort(reason)
  }

  #hold(id: number, promise: PromiseLike<unknown>): void {
    const { begin, end, native, report, worker } = this.#options
    begin()
    const settle = (outcome: number): void => {
      native.endCall(worker, id, outcome, null)
      end()
    }
    promise.then(
      () => settle(Outcome.DONE),
      (error: unknown) => {
        settle(Outcome.FAILED)
        report(error)
      },
    )
  }

  #context(id: number): TaskContext {
    const signal = (): AbortSignal => (this.#hurry ??= new AbortController()).signal
    return {
      id: String(id),
      attempt: 1,
      tries: 1,
      get signal() {
        return signal()
      },
    }
  }
}
