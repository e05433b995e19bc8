import { sluiceTypeError } from '../errors.ts'
import type { NativeTasks } from '../native.ts'
import { failureOf } from './failure.ts'

/** A queue of tasks, counted. */
export interface QueueInfo {
  readonly name: string
  /** Tasks that wait for a worker. */
  readonly waiting: number
  /** Tasks that wait for their time: delayed, or before their next try. */
  readonly delayed: number
  readonly running: number
  /** Tasks that have ended well since the start of the server. */
  readonly done: number
  /** Tasks whose last try failed. */
  readonly failed: number
  /** Tries that have failed, and were followed by another. */
  readonly retried: number
  /** Tasks that were cancelled. */
  readonly cancelled: number
}

/** A task whose last try failed. */
export interface FailedTaskInfo {
  readonly id: string
  readonly name: string
  readonly queue: string
  /** How often it was tried. */
  readonly attempts: number
  readonly error: Error
  readonly failedAt: Date
}

/** What is known of all tasks. */
export interface TaskList {
  readonly queues: readonly QueueInfo[]
  /** The oldest first; at most `tasks.keepFailed` are kept. */
  readonly failed: readonly FailedTaskInfo[]
}

/** As the core writes it. */
interface NativeFailed {
  readonly id: number
  readonly name: string
  readonly queue: string
  readonly attempts: number
  readonly end: number
  /** An error record as JSON. */
  readonly error: string | null
  readonly failedAt: number
}

/** The tasks of the whole server, for those who look after it. In every thread. */
export class SharedTasks {
  readonly #native: NativeTasks
  readonly #server: () => number

  constructor(native: NativeTasks, server: () => number) {
    this.#native = native
    this.#server = server
  }

  /** The queues, and the failed tasks that are kept. Takes as long as there are many of these. */
  list(): TaskList {
    const { queues, failed } = JSON.parse(this.#native.taskList(this.#server())) as { queues: QueueInfo[]; failed: NativeFailed[] }
    return { queues, failed: failed.map(toInfo) }
  }

  /** Delivers a failed task again, with all its tries. False when none of that id is kept. */
  retry(id: string): boolean {
    return this.#native.retryTask(this.#server(), taskId(id))
  }

  /** Forgets a failed task. False when none of that id is kept. */
  forget(id: string): boolean {
    return this.#native.forgetTask(this.#server(), taskId(id))
  }

  /** Cancels a task, as `cancel()` of its handle. False when it is over, or there is none of that id. */
  cancel(id: string): boolean {
    return this.#native.cancelTask(this.#server(), taskId(id)) !== 0
  }
}

function toInfo({ attempts, end, error, failedAt, id, name, queue }: NativeFailed): FailedTaskInfo {
  const bytes = Buffer.from(error ?? '')
  return { id: String(id), name, queue, attempts, error: failureOf(end, bytes, { id: String(id), name, attempts }), failedAt: new Date(failedAt) }
}

/** @throws TypeError ERR_SLUICE_INVALID_ARG for what is no id */
function taskId(id: unknown): number {
  if (typeof id === 'string' && /^[1-9]\d{0,15}$/.test(id)) return Number(id)
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`id\` must be the id of a task, got ${typeof id === 'string' ? JSON.stringify(id.slice(0, 64)) : typeof id}`)
}
