/**
 * Every error code of Sluice, in one table. The code is the contract; messages may change.
 *
 * A wrong argument or option is a `TypeError` or `RangeError`, everything else a {@link SluiceError}; all of them
 * have a `code`, and a `cause` where something lies below. `docs/reference/errors.md` says for each code what to do.
 */

interface ErrorRow {
  /** The classes an error of this code can have. `Error` stands for {@link SluiceError}. */
  readonly base: 'Error' | 'TypeError' | 'RangeError' | 'TypeError | RangeError'
  /** When it is raised, in one line. */
  readonly summary: string
}

export const errorTable = {
  ERR_SLUICE_INVALID_ARG: { base: 'TypeError | RangeError', summary: 'An argument has the wrong type or range' },
  ERR_SLUICE_INVALID_OPTION: { base: 'TypeError', summary: 'An option is unknown or has a wrong value; the message names its path' },
  ERR_SLUICE_INVALID_CONFIG: { base: 'Error', summary: 'The configuration file cannot be found, read or used' },
  ERR_SLUICE_INVALID_STATE: { base: 'Error', summary: 'The call does not fit the life cycle' },
  ERR_SLUICE_LISTEN: { base: 'Error', summary: 'An address could not be bound' },
  ERR_SLUICE_BODY_TOO_LARGE: { base: 'RangeError', summary: 'A request body passed its limit (HTTP 413)' },
  ERR_SLUICE_BODY_MALFORMED: { base: 'Error', summary: 'A request body breaks the rules of its format (HTTP 400)' },
  ERR_SLUICE_BODY_TYPE: { base: 'TypeError', summary: 'A request body is of a type that cannot be read so (HTTP 415)' },
  ERR_SLUICE_UPLOAD: { base: 'Error', summary: 'An uploaded file is not there or cannot be moved' },
  ERR_SLUICE_STATE_TOO_LARGE: { base: 'RangeError', summary: 'The state of a connection has more than 16 KiB' },
  ERR_SLUICE_FILE: { base: 'Error', summary: 'A file that was to be sent cannot be opened' },
  ERR_SLUICE_RESPONSE_SENT: { base: 'Error', summary: 'The response was used after it had been sent' },
  ERR_SLUICE_TABLE_FULL: { base: 'RangeError', summary: 'A table has no free row' },
  ERR_SLUICE_TABLE_COLUMN: { base: 'TypeError', summary: 'A table has no such column, or the value is of another type' },
  ERR_SLUICE_TABLE_VALUE_TOO_LONG: { base: 'RangeError', summary: 'A value is longer than its column' },
  ERR_SLUICE_TABLE_INTEGER: { base: 'RangeError', summary: 'An integer is beyond what its column or a number holds' },
  ERR_SLUICE_TABLE_KEY: { base: 'RangeError', summary: 'A key of a table is empty or too long' },
  ERR_SLUICE_TABLE_MISMATCH: { base: 'Error', summary: 'A table of this name is in use with another description' },
  ERR_SLUICE_TABLE_FILE: { base: 'Error', summary: 'The file or the memory of a table cannot be used' },
  ERR_SLUICE_TABLE_BUSY: { base: 'Error', summary: 'A row is locked by a process that does not go on' },
  ERR_SLUICE_TIMERS_FULL: { base: 'RangeError', summary: 'There are as many shared timers as `timers.max` and `timers.bytes` allow' },
  ERR_SLUICE_TASK_PAYLOAD: { base: 'TypeError | RangeError', summary: 'The input or the result of a task cannot be cloned, or is too long' },
  ERR_SLUICE_TASK_UNKNOWN: { base: 'Error', summary: 'No task of that name is defined in the worker' },
  ERR_SLUICE_TASK_QUEUE_FULL: { base: 'Error', summary: 'There are as many tasks as `tasks.max` and `tasks.bytes` allow' },
  ERR_SLUICE_TASK_TIMEOUT: { base: 'Error', summary: 'The last try of a task took longer than its `timeout`' },
  ERR_SLUICE_TASK_CANCELLED: { base: 'Error', summary: 'A task was cancelled' },
  ERR_SLUICE_TASK_LOST: { base: 'Error', summary: 'The worker that ran the last try of a task died, or the only one that may run it did not come' },
  ERR_SLUICE_TASKS_JOURNAL: { base: 'Error', summary: 'The journal of durable tasks cannot be opened or written' },
  ERR_SLUICE_CRON: { base: 'TypeError', summary: 'A cron job cannot be used: its times, its time zone or its definition' },
  ERR_SLUICE_CRON_UNKNOWN: { base: 'Error', summary: 'There is no cron job of that name' },
  ERR_SLUICE_CRON_COMMAND: { base: 'Error', summary: 'The command of a cron job failed or cannot be started' },
  ERR_SLUICE_WORKER_START: { base: 'Error', summary: 'A worker did not become ready' },
  ERR_SLUICE_PROCESS_GONE: { base: 'Error', summary: 'A custom process ended, or does not run any more' },
  ERR_SLUICE_PROCESS_FULL: { base: 'Error', summary: 'As much as can wait for a custom process waits already' },
  ERR_SLUICE_PROCESS_TIMEOUT: { base: 'Error', summary: 'A custom process did not answer, or come to its end, in time' },
  ERR_SLUICE_LOCK_TIMEOUT: { base: 'Error', summary: 'A lock was not granted in time' },
  ERR_SLUICE_ATOMIC_FULL: { base: 'RangeError', summary: 'There is no room for another atomic' },
  ERR_SLUICE_CACHE_VALUE_TOO_LARGE: { base: 'RangeError', summary: 'A value is too large for its cache' },
  ERR_SLUICE_WAIT_LIMIT: { base: 'Error', summary: 'More is waited for or held than the process allows' },
  ERR_SLUICE_SHUTTING_DOWN: { base: 'Error', summary: 'New work is refused because the server is stopping' },
  ERR_SLUICE_NATIVE_LOAD: { base: 'Error', summary: 'The native addon for this platform cannot be loaded' },
  ERR_SLUICE_NOT_RUNNING: { base: 'Error', summary: 'There is no running server to talk to' },
  ERR_SLUICE_INTERNAL: { base: 'Error', summary: 'A broken invariant: a bug in Sluice, please report it' },
} as const satisfies Record<`ERR_SLUICE_${string}`, ErrorRow>

/** Any code of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable

/** The codes whose errors can have this class. */
type CodeOf<Base extends string> = { [Code in ErrorCode]: Base extends Bases<(typeof errorTable)[Code]['base']> ? Code : never }[ErrorCode]
type Bases<Text extends string> = Text extends `${infer First} | ${infer Rest}` ? First | Bases<Rest> : Text

/** Everything that goes wrong in Sluice other than a wrong argument or option. */
export class SluiceError extends Error {
  /** Stable; switch on this, not on the message. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
// On the prototype, not per instance, so that it is not printed as a property of every error.
Object.defineProperty(SluiceError.prototype, 'name', { value: 'SluiceError', configurable: true, writable: true })

/** Makes a {@link SluiceError}; to be thrown or handed on by the caller. `cause` is the error below it. */
export function sluiceError(code: CodeOf<'Error'>, message: string, options?: ErrorOptions): SluiceError {
  return new SluiceError(code, message, options)
}

/** Makes a `TypeError` with a `code`: a wrong type, an unknown name, a value that is not in the list. */
export function sluiceTypeError(code: CodeOf<'TypeError'>, message: string, options?: ErrorOptions): TypeError & { code: ErrorCode } {
  return Object.assign(new TypeError(message, options), { code })
}

/** Makes a `RangeError` with a `code`: the right type, but too large, too small or too long. */
export function sluiceRangeError(code: CodeOf<'RangeError'>, message: string, options?: ErrorOptions): RangeError & { code: ErrorCode } {
  return Object.assign(new RangeError(message, options), { code })
}

/** Makes the error of a code that is known only when it runs, of the class that the table has for it: what the addon said. */
export function codedError(code: unknown, message: string, options?: ErrorOptions): Error {
  const known = typeof code === 'string' && Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'ERR_SLUICE_INTERNAL'
  const { base } = errorTable[known]
  if (base === 'Error') return new SluiceError(known, message, options)
  return Object.assign(base === 'RangeError' ? new RangeError(message, options) : new TypeError(message, options), { code: known })
}
