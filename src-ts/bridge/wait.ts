import { sluiceRangeError } from '../errors.ts'
import { forget, receive } from './mailbox.ts'

/** How long to wait. */
export interface WaitOptions {
  /** Milliseconds, 0 to 2 147 483 647. @default for ever */
  readonly timeout?: number
  /** Gives up when it is aborted: the promise rejects with its reason. */
  readonly signal?: AbortSignal
}

/** What setTimeout can do. */
const TIMEOUT_MAX = 2 ** 31 - 1

/** @throws ERR_SLUICE_INVALID_ARG for a `timeout` that is no time; the signal's reason when it is aborted already */
export function checkWait({ timeout, signal }: WaitOptions): void {
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0 && timeout <= TIMEOUT_MAX)) {
    throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `timeout must be 0 to ${TIMEOUT_MAX} milliseconds, got ${String(timeout)}`)
  }
  signal?.throwIfAborted()
}

/**
 * The value of the one piece of mail that comes for `ticket`. Whichever comes first settles: the mail, the timeout, of which `expired`
 * makes the outcome, or the signal; with the last two `cancel` is called before. Where it says false the mail is on its way, and settles after all.
 */
export function waitForMail<T>(
  ticket: number,
  { timeout, signal }: WaitOptions,
  arrived: (value: number) => T,
  cancel: () => boolean,
  expired: (settle: { resolve: (value: T) => void; reject: (reason: unknown) => void }) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      forget(ticket)
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      if (!cancel()) return
      finish()
      reject(signal?.reason)
    }
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => {
            if (!cancel()) return
            finish()
            expired({ resolve, reject })
          }, timeout)
    signal?.addEventListener('abort', onAbort, { once: true })
    receive(ticket, (value) => {
      finish()
      resolve(arrived(value))
    })
  })
}
