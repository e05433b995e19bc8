import { sluiceError, sluiceRangeError, sluiceTypeError, type ErrorCode } from '../errors.ts'

/** Makes the error of a call that the core refused, of the class that its code has. */
export function tableFailure(json: string): Error {
  const { code, message } = JSON.parse(json) as { code: ErrorCode; message: string }
  return tableError(code, message)
}

/** As {@link tableFailure}; `cause` is what the addon threw. */
export function tableError(code: unknown, message: string, options?: ErrorOptions): Error {
  switch (code) {
    case 'ERR_SLUICE_INVALID_ARG':
      return sluiceTypeError('ERR_SLUICE_INVALID_ARG', message, options)
    case 'ERR_SLUICE_INVALID_STATE':
      return sluiceError('ERR_SLUICE_INVALID_STATE', message, options)
    case 'ERR_SLUICE_TABLE_FULL':
      return sluiceRangeError('ERR_SLUICE_TABLE_FULL', message, options)
    case 'ERR_SLUICE_TABLE_COLUMN':
      return sluiceTypeError('ERR_SLUICE_TABLE_COLUMN', message, options)
    case 'ERR_SLUICE_TABLE_VALUE_TOO_LONG':
      return sluiceRangeError('ERR_SLUICE_TABLE_VALUE_TOO_LONG', message, options)
    case 'ERR_SLUICE_TABLE_KEY':
      return sluiceRangeError('ERR_SLUICE_TABLE_KEY', message, options)
    case 'ERR_SLUICE_TABLE_INTEGER':
      return sluiceRangeError('ERR_SLUICE_TABLE_INTEGER', message, options)
    case 'ERR_SLUICE_TABLE_MISMATCH':
      return sluiceError('ERR_SLUICE_TABLE_MISMATCH', message, options)
    case 'ERR_SLUICE_TABLE_FILE':
      return sluiceError('ERR_SLUICE_TABLE_FILE', message, options)
    case 'ERR_SLUICE_TABLE_BUSY':
      return sluiceError('ERR_SLUICE_TABLE_BUSY', message, options)
    default:
      return sluiceError('ERR_SLUICE_INTERNAL', message, options)
  }
}
