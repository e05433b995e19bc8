import type { ExitCode } from './run.ts'

/** These are mistakes in what the user wrote, not of the system. */
const usageCodes = new Set(['ERR_SLUICE_INVALID_OPTION', 'ERR_SLUICE_INVALID_CONFIG'])

/** Prints what ended a command to standard error and says which exit code it means: 2 for usage and configuration, 1 for the rest. */
export function printError(error: unknown): ExitCode {
  process.stderr.write(`sluice: ${describeError(error)}\n`)
  return usageCodes.has(codeOf(error)) ? 2 : 1
}

/** Below these lies an error of the user's code, or of the system's loader. */
const codesWithStack = new Set(['ERR_SLUICE_INVALID_CONFIG', 'ERR_SLUICE_WORKER_START', 'ERR_SLUICE_NATIVE_LOAD'])

/**
 * The message of an error, and where it helps the stack of what lies at its bottom: that is the user's code, while the frames of
 * Sluice itself tell a user nothing. An error without one of our codes is unexpected and shown whole.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (!codeOf(error).startsWith('ERR_SLUICE_')) return error.stack ?? error.message
  let bottom: unknown = error.cause
  while (bottom instanceof Error && bottom.cause instanceof Error) bottom = bottom.cause
  const below = codesWithStack.has(codeOf(error)) && bottom instanceof Error && bottom.stack !== undefined ? `\n${bottom.stack.replace(/^/gm, '  ')}` : ''
  return `${error.message} (${codeOf(error)})${below}`
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
