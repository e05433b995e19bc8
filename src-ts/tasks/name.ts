import { sluiceRangeError, sluiceTypeError } from '../errors.ts'

/** Longest name of a task or a timer, in bytes of UTF-8. */
const NAME_BYTES_MAX = 255

/** What the task that a run of a cron job is to the core begins with, before the name of the job. */
export const CRON_PREFIX = 'cron:'

/** A task by its name, as the beginning of a message. */
export function titleOf(task: string): string {
  return task.startsWith(CRON_PREFIX) ? `Cron job "${task.slice(CRON_PREFIX.length)}"` : `Task "${task}"`
}

/** @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG that begins with `what`, unless `name` is a string of 1 to 255 bytes */
export function checkName(name: unknown, what: string): asserts name is string {
  if (typeof name !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${what} must be a string, got ${typeof name}`)
  // A UTF-16 unit has at most 3 bytes.
  const bytes = name.length * 3 <= NAME_BYTES_MAX ? name.length : Buffer.byteLength(name)
  if (bytes < 1 || bytes > NAME_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `${what} must have 1 to ${NAME_BYTES_MAX} bytes, got ${bytes}`)
}
