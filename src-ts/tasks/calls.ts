import { utf8Slice, type Lane } from '../bridge/lane.ts'
import { TASK_WORDS, TaskFlag, TaskNewsWord, TaskWord } from '../bridge/record.ts'
import { sluiceError } from '../errors.ts'
import type { NativeCalls } from '../native.ts'
import { isThenable } from '../thenable.ts'
import { CallContext, isTimeout } from './context.ts'
import { encodeError, failureOf } from './failure.ts'
import { decodePayload, encodePayload } from './payload.ts'
import { findTask } from './registry.ts'

/** How a call ended, as the core counts it. After UNKNOWN it is not tried again; with bytes these are the error. */
const Outcome = { DONE: 0, FAILED: 1, UNKNOWN: 2 } as const
/** What of a task is called. */
const Mode = { RUN: 0, FINISH: 1, FAILED: 2 } as const
/** Which parcel of a call is what. */
const Parcel = { INPUT: 0, EXTRA: 1 } as const

const NOTHING = Buffer.alloc(0)
/** As many calls as one worker has in its hands at most. */
const ENDED_MAX = 256

/** What the calls of one worker are run with. */
export interface CallsOptions {
  readonly native: NativeCalls
  /** The attachment of this thread. */
  readonly worker: number
  /** `task`: the name of the one whose error it is. */
  readonly report: (error: unknown, task: string) => void
  /** Whether a flush follows before anything else of the application runs but further calls. */
  readonly isHeld: () => boolean
  /** A handler is pending; the worker waits for it when it leaves. */
  readonly begin: () => void
  readonly end: () => void
}

/** One call in the hands of this worker. */
interface Running {
  readonly id: number
  readonly name: string
  readonly mode: number
  readonly context: CallContext
  /** The core has said that it waits no longer. */
  isUnwanted: boolean
  /** Its failure was reported. */
  isTold: boolean
}

/** The calls of tasks that one worker runs. The core bounds how many it gets at once. */
export class Calls {
  readonly #options: CallsOptions
  /** Those whose handler is pending. */
  readonly #running = new Map<number, Running>()
  /** The latest that have ended, in a circle: that one of them took too long may stand in the lane still. */
  readonly #ended: Running[] = []
  #endedCount = 0
  #hurry: { readonly reason: unknown } | undefined

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** Runs a TASK record. */
  deliver(lane: Lane, at: number): void {
    const { native, report, worker } = this.#options
    const { bytes, words } = lane
    const id = idAt(words, at + TaskWord.ID_LOW)
    const flags = words[at + TaskWord.KIND]! >>> 8
    const mode = flags & TaskFlag.MODE
    const start = (at + TASK_WORDS) * 4
    const nameEnd = start + words[at + TaskWord.NAME_LENGTH]!
    const name = utf8Slice.call(bytes, start, nameEnd)
    // From here on it is ours, and nobody gets it if this worker dies.
    if (!native.beginCall(worker, id)) return
    const task = idAt(words, at + TaskWord.TASK_LOW)
    const entry = findTask(name)
    if (entry === undefined) {
      const error = sluiceError('ERR_SLUICE_TASK_UNKNOWN', `No task "${name}" is defined in this worker: the module that defines it must be imported by the app, or be one of \`tasks.files\``)
      native.endCall(worker, id, Outcome.UNKNOWN, encodeError(error), true)
      report(error, name)
      return
    }
    const tries = words[at + TaskWord.ATTEMPT]!
    const context = new CallContext(native, worker, name, { call: id, task, origin: words[at + TaskWord.FROM]!, attempt: tries & 0xffff, tries: tries >>> 16 })
    if (this.#hurry !== undefined) context.abort(this.#hurry.reason)
    const running: Running = { id, name, mode, context, isUnwanted: false, isTold: false }
    try {
      const inputEnd = nameEnd + words[at + TaskWord.INPUT_LENGTH]!
      const isParcel = (flags & TaskFlag.PARCEL) !== 0
      const input = isParcel ? decodePayload(native.takeParcel(worker, id, Parcel.INPUT) ?? NOTHING) : decodePayload(bytes, nameEnd, inputEnd)
      let result: unknown
      if (mode === Mode.RUN) {
        result = entry.run(input, context, report)
      } else {
        const extra = isParcel ? (native.takeParcel(worker, id, Parcel.EXTRA) ?? NOTHING) : bytes.subarray(inputEnd, inputEnd + words[at + TaskWord.EXTRA_LENGTH]!)
        const how = words[at + TaskWord.END]! & 0xff
        result = mode === Mode.FINISH ? entry.finish?.(decodePayload(extra), input) : entry.failed?.(failureOf(how, extra, { id: context.id, name, attempts: context.attempt }), input)
      }
      if (isThenable(result)) this.#hold(running, result)
      else this.#done(running, result)
    } catch (error) {
      this.#failed(running, error)
    }
  }

  /** Runs a TASK_ABORT record. */
  abortOne(lane: Lane, at: number): void {
    const { words } = lane
    const id = idAt(words, at + TaskNewsWord.ID_LOW)
    const running = this.#running.get(id) ?? this.#ended.find((ended) => ended.id === id)
    if (running === undefined || running.isUnwanted) return
    const { context } = running
    const why = words[at + TaskNewsWord.END]!
    const reason = context.reasonOf(why)
    running.isUnwanted = true
    // What the handler still throws is nobody's any more; that it took too long is the task's failure.
    if (isTimeout(why) && context.isLast) this.#tell(running, reason)
    context.abort(reason)
  }

  /** Fires the signal of all that runs, and of what still comes. */
  abort(reason: unknown): void {
    this.#hurry = { reason }
    for (const { context } of this.#running.values()) context.abort(reason)
  }

  #hold(running: Running, promise: PromiseLike<unknown>): void {
    const { begin, end } = this.#options
    begin()
    this.#running.set(running.id, running)
    promise.then(
      (result) => {
        this.#done(running, result)
        end()
      },
      (error: unknown) => {
        this.#failed(running, error)
        end()
      },
    )
  }

  #done(running: Running, result: unknown): void {
    const { mode, name } = running
    let bytes: Uint8Array | null = null
    if (mode === Mode.RUN) {
      try {
        bytes = encodePayload(result, `The result of task "${name}"`, 'result')
      } catch (error) {
        // It has run: to run it again would not make its result another.
        this.#over(running, Outcome.UNKNOWN, encodeError(error))
        this.#tell(running, error)
        return
      }
    }
    this.#over(running, Outcome.DONE, bytes)
  }

  #failed(running: Running, error: unknown): void {
    this.#over(running, Outcome.FAILED, encodeError(error))
    if (running.isUnwanted) return
    if (running.context.isLast || running.mode !== Mode.RUN) this.#tell(running, error)
  }

  #over(running: Running, outcome: number, bytes: Uint8Array | null): void {
    const { isHeld, native, worker } = this.#options
    native.endCall(worker, running.id, outcome, bytes, isHeld())
    this.#running.delete(running.id)
    this.#ended[this.#endedCount++ % ENDED_MAX] = running
  }

  /** Reports a failure, once. */
  #tell(running: Running, error: unknown): void {
    if (running.isTold) return
    running.isTold = true
    this.#options.report(error, running.name)
  }
}

function idAt(words: Int32Array, at: number): number {
  return (words[at]! >>> 0) + words[at + 1]! * 2 ** 32
}
