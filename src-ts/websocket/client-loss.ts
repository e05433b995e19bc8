import { sluiceError, type SluiceError } from '../errors.ts'

/** How one connection of a client ended, or failed to come about. */
export interface Loss {
  /** The code the server sent or echoed; 1005 if it sent none, 1006 if there was no closing handshake. */
  readonly code: number
  readonly reason: string
  /** Whether there was a closing handshake. */
  readonly wasClean: boolean
  /** What went wrong, if it was more than a closing handshake. */
  readonly error: SluiceError | undefined
  /** The HTTP status of an answer that was not 101. */
  readonly status: number | undefined
  /** Milliseconds the answer asked to wait, 0 if it did not. */
  readonly retryAfter: number
  /** The server was reached and answered 101, but it is no server for this client: trying again would change nothing. */
  readonly isMismatch: boolean
}

/** Statuses of an answer that another try may change: timeout, too early, too many requests. So may all of 500 and above. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429])
/** Codes by which a server ends a conversation on purpose: done, no code at all, refused by policy. */
const FINAL_CODES: ReadonlySet<number> = new Set([1000, 1005, 1008])

/** Whether a client that reconnects should: after whatever may pass, and not where the server has said what it means. */
export function mayPass({ code, status, isMismatch }: Loss): boolean {
  if (isMismatch) return false
  if (status !== undefined) return status >= 500 || PASSING_STATUSES.has(status)
  // From 3000 on codes are the application's own word, such as "signed in elsewhere".
  return !FINAL_CODES.has(code) && code < 3000
}

/** A connection without a closing handshake. */
export function failure(error: SluiceError, more: Partial<Loss> = {}): Loss {
  return { code: 1006, reason: '', wasClean: false, error, status: undefined, retryAfter: 0, isMismatch: false, ...more }
}

/** The error of everything that waits on a connection that is not there any more. */
export function connectionError(message: string, cause?: unknown): SluiceError {
  return sluiceError('ERR_SLUICE_INVALID_STATE', message, cause === undefined ? {} : { cause })
}

/** `Retry-After` in seconds as milliseconds. Its other form, a date, needs two clocks that agree and is taken as none. */
export function retryAfterOf(field: string | undefined): number {
  return field !== undefined && /^\d{1,9}$/.test(field) ? Number(field) * 1000 : 0
}
