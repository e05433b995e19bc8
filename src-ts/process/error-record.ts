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
}

/** Longer texts are cut: an error must not become a way to fill the master's memory. */
const TEXT_MAX = 16 * 1024

/** Causes below this depth are dropped; also what ends a cause that points back to itself. */
const CAUSES_MAX = 8

/** Describes anything that was thrown. Never throws, whatever getters the value has. */
export function toRecord(thrown: unknown, depth = 0): ErrorRecord {
  try {
    if (!(thrown instanceof Error)) return { name: 'Error', message: cut(`Thrown: ${describe(thrown)}`), stack: undefined, code: undefined, cause: undefined }
    const { code, cause } = thrown as Error & { code?: unknown }
    return {
      name: cut(String(thrown.name)),
      message: cut(String(thrown.message)),
      stack: typeof thrown.stack === 'string' ? cut(thrown.stack) : undefined,
      code: typeof code === 'string' ? cut(code) : undefined,
      cause: cause === undefined || depth >= CAUSES_MAX ? undefined : toRecord(cause, depth + 1),
    }
  } catch {
    return { name: 'Error', message: 'An error that cannot be read was thrown', stack: undefined, code: undefined, cause: undefined }
  }
}

/** Makes an error again: name, message, stack, code and causes as they were, the class always `Error`. */
export function fromRecord(record: ErrorRecord): Error & { code?: string } {
  const error: Error & { code?: string } = new Error(record.message, record.cause === undefined ? undefined : { cause: fromRecord(record.cause) })
  if (record.name !== 'Error') Object.defineProperty(error, 'name', { value: record.name, configurable: true, writable: true })
  Object.defineProperty(error, 'stack', { value: record.stack ?? `${record.name}: ${record.message}`, configurable: true, writable: true })
  if (record.code !== undefined) error.code = record.code
  return error
}

/** Reads a record that came from another thread; undefined when it is none. */
export function parseErrorRecord(value: unknown): ErrorRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, message, stack, code, cause } = value as Record<string, unknown>
  if (typeof name !== 'string' || typeof message !== 'string') return undefined
  return {
    name,
    message,
    stack: typeof stack === 'string' ? stack : undefined,
    code: typeof code === 'string' ? code : undefined,
    cause: parseErrorRecord(cause),
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object' && value !== null) return Object.prototype.toString.call(value)
  return String(value)
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`
}
