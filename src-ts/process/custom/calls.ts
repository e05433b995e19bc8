/** What threads and processes ask the master of custom processes, and what processes are asked. */

export type ProcessCall =
  /** To the process. */
  | { readonly op: 'write'; readonly name: string; readonly data: unknown; readonly waits: boolean }
  /** No more is written to it. */
  | { readonly op: 'end'; readonly name: string }
  /** What the process wrote: a list of messages, empty when none comes any more. */
  | { readonly op: 'read'; readonly name: string }
  | { readonly op: 'request'; readonly name: string; readonly data: unknown; readonly timeout: number }
  | { readonly op: 'push'; readonly name: string; readonly data: unknown }
  | { readonly op: 'pop'; readonly name: string }
  | { readonly op: 'length'; readonly name: string }
  | { readonly op: 'restart'; readonly name: string }
  | { readonly op: 'infos' }
  /** Of a process, to those who have its handle. */
  | { readonly op: 'give'; readonly data: unknown; readonly waits: boolean }
  /** Of a process: what was written to it, as `read`. */
  | { readonly op: 'take' }
  /** The caller does not wait any more for the answer to this call of it. */
  | { readonly op: 'forget'; readonly call: number }

/** Reads a call that came from another thread or process; undefined when it is none. */
export function parseProcessCall(value: unknown): ProcessCall | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { call, data, name, op, timeout, waits } = value as Record<string, unknown>
  switch (op) {
    case 'write':
      return typeof name === 'string' ? { op, name, data, waits: waits === true } : undefined
    case 'push':
      return typeof name === 'string' ? { op, name, data } : undefined
    case 'request':
      return typeof name === 'string' && typeof timeout === 'number' ? { op, name, data, timeout } : undefined
    case 'end':
    case 'read':
    case 'pop':
    case 'length':
    case 'restart':
      return typeof name === 'string' ? { op, name } : undefined
    case 'infos':
    case 'take':
      return { op }
    case 'give':
      return { op, data, waits: waits === true }
    case 'forget':
      return typeof call === 'number' ? { op, call } : undefined
    default:
      return undefined
  }
}
