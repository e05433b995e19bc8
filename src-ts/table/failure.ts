import { codedError, type ErrorCode } from '../errors.ts'

/** Makes the error of a call that the core refused. */
export function tableFailure(json: string): Error {
  const { code, message } = JSON.parse(json) as { code: ErrorCode; message: string }
  return codedError(code, message)
}

/** Runs a call that throws what the addon throws; its errors get the class that their code has. */
export function guarded<T>(call: () => T): T {
  try {
    return call()
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause) throw codedError(cause.code, cause.message, { cause })
    throw cause
  }
}
