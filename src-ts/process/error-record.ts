/**
 * Errors between threads. Structured clone drops `code`, refuses causes it cannot copy and turns subclasses into plain
 * errors, so errors travel as records of what a reader of the log needs.
 */

export interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
  readonly cause: ErrorRecord | undefined
  /** Its other members that are plain values, such as `status`, `errno` or a `code` that is a number. */
  readonly fields?: Readonly<Record<string, Plain>>
  /** Those of an `AggregateError`. */
  readonly errors?: readonly ErrorRecord[]
}

type Plain = string | number | boolean | null

/** Longer texts are cut: an error must not become a way to fill the master's memory. */
const TEXT_MAX = 16 * 1024

/** Causes below this depth are dropped; also what ends a cause that points back to itself. */
const CAUSES_MAX = 8

/** Members and errors beyond so many are dropped, and what one of them has too much of is cut. */
const FIELDS_MAX = 32
const FIELD_TEXT_MAX = 1024
const ERRORS_MAX = 16
/** What a record has a place of its own for. `task` says where the error was last. */
const placed = new Set(['name', 'message', 'stack', 'cause', 'errors', 'task', '__proto__'])

/** Describes anything that was thrown. Never throws, whatever getters the value has. */
export function toRecord(thrown: unknown, depth = 0): ErrorRecord {
  try {
    if (!isErrorLike(thrown)) return { name: 'Error', message: cut(`Thrown: ${describe(thrown)}`), stack: undefined, code: undefined, cause: undefined }
    const { code, cause, errors, name } = thrown as Error & { code?: unknown; errors?: unknown }
    const fields = fieldsOf(thrown)
    return {
      name: name === undefined ? 'Error' : cut(String(name)),
      message: cut(String(thrown.message)),
      stack: typeof thrown.stack === 'string' ? cut(thrown.stack) : undefined,
      code: typeof code === 'string' ? cut(code) : undefined,
      cause: cause === undefined || depth >= CAUSES_MAX ? undefined : toRecord(cause, depth + 1),
      ...(fields !== undefined && { fields }),
      // Of these not all causes, or each level would have sixteen times as many.
      ...(depth === 0 && Array.isArray(errors) && { errors: errors.slice(0, ERRORS_MAX).map((error) => toRecord(error, CAUSES_MAX)) }),
    }
  } catch {
    return { name: 'Error', message: 'An error that cannot be read was thrown', stack: undefined, code: undefined, cause: undefined }
  }
}

/** Makes an error again: name, message, stack, code, causes and plain members as they were, the class always `Error`. */
export function fromRecord(record: ErrorRecord): Error & { code?: string } {
  const error: Error & { code?: string } = new Error(record.message, record.cause === undefined ? undefined : { cause: fromRecord(record.cause) })
  if (record.name !== 'Error') Object.defineProperty(error, 'name', { value: record.name, configurable: true, writable: true })
  Object.defineProperty(error, 'stack', { value: record.stack ?? `${record.name}: ${record.message}`, configurable: true, writable: true })
  if (record.fields !== undefined) Object.assign(error, record.fields)
  if (record.code !== undefined) error.code = record.code
  if (record.errors !== undefined) Object.defineProperty(error, 'errors', { value: record.errors.map(fromRecord), configurable: true, writable: true })
  return error
}

/** What was thrown, if it is an error, else one that says what it was. Never throws, as {@link toRecord}. */
export function errorOf(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown
  } catch {
    // A proxy that is none.
  }
  const error = fromRecord(toRecord(thrown))
  Error.captureStackTrace(error, errorOf)
  error.cause = thrown
  return error
}

/** Reads a record that came from another thread; undefined when it is none. */
export function parseErrorRecord(value: unknown): ErrorRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, message, stack, code, cause, fields, errors } = value as Record<string, unknown>
  if (typeof name !== 'string' || typeof message !== 'string') return undefined
  return {
    name,
    message,
    stack: typeof stack === 'string' ? stack : undefined,
    code: typeof code === 'string' ? code : undefined,
    cause: parseErrorRecord(cause),
    ...(typeof fields === 'object' && fields !== null && { fields: plain(fields) }),
    ...(Array.isArray(errors) && { errors: errors.slice(0, ERRORS_MAX).flatMap((error) => parseErrorRecord(error) ?? []) }),
  }
}

/** Errors, also of another realm, and what looks like one. */
function isErrorLike(thrown: unknown): thrown is Error {
  return thrown instanceof Error || (typeof thrown === 'object' && thrown !== null && typeof (thrown as { message?: unknown }).message === 'string')
}

/** Undefined when there are none. */
function fieldsOf(error: object): Record<string, Plain> | undefined {
  const fields = plain(error)
  // That one has a place of its own.
  if (typeof fields['code'] === 'string') delete fields['code']
  return Object.keys(fields).length === 0 ? undefined : fields
}

function plain(object: object): Record<string, Plain> {
  const fields: Record<string, Plain> = {}
  for (const name of Object.keys(object).slice(0, FIELDS_MAX)) {
    if (placed.has(name) || name.length > FIELD_TEXT_MAX) continue
    const value: unknown = (object as Record<string, unknown>)[name]
    if (typeof value === 'string') fields[name] = cut(value, FIELD_TEXT_MAX)
    else if (value === null || typeof value === 'number' || typeof value === 'boolean') fields[name] = value as Plain
  }
  return fields
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object' && value !== null) return Object.prototype.toString.call(value)
  return String(value)
}

function cut(text: string, max: number = TEXT_MAX): string {
  return text.length <= max ? text : `${text.slice(0, max)}…`
}
