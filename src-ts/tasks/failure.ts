import { sluiceError } from '../errors.ts'
import { fromRecord, parseErrorRecord, toRecord } from '../process/error-record.ts'

/** How a task ended, in TASK_RESULT records and, of `failed`, in TASK records. The last two are no ends: it is in the journal, or cannot be. */
export const End = { DONE: 0, FAILED: 1, UNKNOWN: 2, TIMED_OUT: 3, WORKER_LOST: 4, CANCELLED: 5, STOPPED: 6, STORED: 7, NOT_STORED: 8 } as const

/** What an error of a task's handler says about that, where it is awaited. */
export interface TaskFailure {
  /** Of the task. */
  readonly id: string
  readonly name: string
  /** How often it was tried. */
  readonly attempts: number
}

/** An error as the core keeps it. */
export function encodeError(thrown: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(toRecord(thrown)))
}

/** What {@link encodeError} was given; undefined for anything else. */
export function decodeError(bytes: Uint8Array): Error | undefined {
  if (bytes.length === 0) return undefined
  try {
    const record = parseErrorRecord(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()))
    return record === undefined ? undefined : fromRecord(record)
  } catch {
    return undefined
  }
}

/**
 * The error of a task that did not end well, where it is awaited. What the handler threw comes as it was (name, message, code, stack and causes), with a
 * member `task` and a last line of its stack that say where it comes from.
 */
export function failureOf(end: number, bytes: Uint8Array, { id, name, attempts }: TaskFailure): Error {
  const task = `Task "${name}" (id ${id})`
  switch (end) {
    case End.TIMED_OUT:
      return sluiceError('ERR_SLUICE_TASK_TIMEOUT', `${task} took longer than its \`timeout\`${triedIn(attempts)}`)
    case End.WORKER_LOST:
      if (attempts === 0) return sluiceError('ERR_SLUICE_TASK_LOST', `The worker that ${task.replace('T', 't')} is for did not come`)
      return sluiceError('ERR_SLUICE_TASK_LOST', `The worker of ${task.replace('T', 't')} died while it ran${triedIn(attempts)}`)
    case End.CANCELLED:
      return sluiceError('ERR_SLUICE_TASK_CANCELLED', `${task} was cancelled`)
    case End.STOPPED:
      return sluiceError('ERR_SLUICE_SHUTTING_DOWN', `${task} is not run any more: the server is stopping`)
    default: {
      const error = decodeError(bytes)
      if (error === undefined) return sluiceError('ERR_SLUICE_TASK_UNKNOWN', `${task} is not defined in the worker that was to run it`)
      Object.defineProperty(error, 'stack', { value: `${error.stack}\n    at task ${JSON.stringify(name)} (id ${id}, try ${attempts})`, configurable: true, writable: true })
      return Object.assign(error, { task: { id, name, attempts } satisfies TaskFailure })
    }
  }
}

function triedIn(attempts: number): string {
  return attempts > 1 ? `, the last of ${attempts} times` : ''
}
