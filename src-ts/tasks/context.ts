import { NO_NUMBER } from '../bridge/record.ts'
import { sluiceError } from '../errors.ts'
import type { NativeCalls } from '../native.ts'
import type { Cloneable } from '../process/api.ts'
import { titleOf } from './name.ts'
import { encodePayload } from './payload.ts'

/** Who has delivered a task. */
export interface TaskOrigin {
  /** As in `WorkerInfo`. */
  readonly id: number
  readonly kind: 'worker' | 'task' | 'cron' | 'process'
}

/** What a task's handler gets beside its input. */
export interface TaskContext {
  /** Of the task; no other of the server has it. Every try has the same. */
  readonly id: string
  /** Which try this is, from 1. */
  readonly attempt: number
  /** How many there may be. */
  readonly tries: number
  /** The worker that has delivered the task; undefined when that is gone, or it was no worker: the master, a timer. */
  readonly from: TaskOrigin | undefined
  /**
   * Aborted when nobody waits for the handler any more: the task was cancelled, or took too long (`reason.code` says which); and when the worker must go and
   * has waited long enough.
   */
  readonly signal: AbortSignal
  /**
   * Tells whoever has delivered the task how far it is: `handle.progress`. Values that come faster than they are read may be left out. Does nothing when
   * the task is over.
   *
   * @param value up to 64 KiB
   * @throws TypeError ERR_SLUICE_TASK_PAYLOAD for what cannot be cloned, RangeError for what is too long
   */
  progress(value: Cloneable): void
}

const kinds = ['worker', 'task', 'cron', 'process'] as const
/** Longest value of `progress`, in bytes: there is room for a few in the lane of who waits for them. */
const PROGRESS_BYTES_MAX = 64 * 1024
/** Values of word 4 of a TASK_ABORT record. */
const TIMED_OUT = 1

/** One call in the hands of this worker. */
export class CallContext implements TaskContext {
  readonly attempt: number
  readonly tries: number
  readonly #native: NativeCalls
  readonly #worker: number
  readonly #call: number
  readonly #task: number
  readonly #origin: number
  readonly #name: string
  #controller: AbortController | undefined
  #reason: { readonly value: unknown } | undefined

  /** `numbers`: the call, the task, the word that names its origin, the try and how many there may be. */
  constructor(native: NativeCalls, worker: number, name: string, numbers: { readonly call: number; readonly task: number; readonly origin: number; readonly attempt: number; readonly tries: number }) {
    this.#native = native
    this.#worker = worker
    this.#name = name
    this.#call = numbers.call
    this.#task = numbers.task
    this.#origin = numbers.origin
    this.attempt = numbers.attempt
    this.tries = numbers.tries
  }

  get id(): string {
    return String(this.#task)
  }

  get from(): TaskOrigin | undefined {
    const id = this.#origin & 0xffff
    const kind = kinds[this.#origin >>> 16]
    return id === NO_NUMBER || kind === undefined ? undefined : { id, kind }
  }

  /** Made when it is asked for: most handlers do not. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason !== undefined) this.#controller.abort(this.#reason.value)
    return this.#controller.signal
  }

  /** A function of its own: handlers take their context apart. */
  get progress(): (value: Cloneable) => void {
    return (value) => void this.#native.callProgress(this.#worker, this.#call, encodePayload(value, `The progress of task "${this.#name}"`, 'value', PROGRESS_BYTES_MAX))
  }

  /** No try follows this one. */
  get isLast(): boolean {
    return this.attempt >= this.tries
  }

  /** The first reason counts. */
  abort(reason: unknown): void {
    if (this.#reason !== undefined) return
    this.#reason = { value: reason }
    this.#controller?.abort(reason)
  }

  /** What the task's signal is aborted with, by word 4 of a TASK_ABORT record. */
  reasonOf(why: number): Error {
    if (why === TIMED_OUT) return sluiceError('ERR_SLUICE_TASK_TIMEOUT', `${titleOf(this.#name)} (id ${this.id}, try ${this.attempt} of ${this.tries}) took longer than its \`timeout\``)
    return sluiceError('ERR_SLUICE_TASK_CANCELLED', `${titleOf(this.#name)} (id ${this.id}) was cancelled`)
  }
}

/** Whether an abort says that the task took too long. */
export function isTimeout(why: number): boolean {
  return why === TIMED_OUT
}
