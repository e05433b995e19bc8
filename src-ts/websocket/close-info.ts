import { sluiceRangeError, sluiceTypeError } from '../errors.ts'

/** How a connection ended. */
export interface CloseInfo {
  /** Who ended it: the peer; the app; the heartbeat (`idle`); a broken rule or connection (`error`); the server's end; a peer that read too slowly (`overflow`). */
  readonly by: 'peer' | 'server' | 'idle' | 'error' | 'shutdown' | 'overflow'
  /** As RFC 6455 7.4 has it; 1005 when the peer gave none, 1006 when there was no closing handshake. Of a TCP connection what it would be on a WebSocket. */
  readonly code: number
  readonly reason: string
  /** Both sides have said that they close; of a TCP connection: all that was sent is out, and the peer has not left within a message. */
  readonly clean: boolean
}

const CAUSES = ['peer', 'server', 'idle', 'error', 'shutdown', 'overflow'] as const

/** Reads word 4 of a WS_CLOSE record. */
export function closeInfoOf(detail: number, reason: string): CloseInfo {
  return { by: CAUSES[(detail >>> 16) & 0xff] ?? 'error', code: detail & 0xffff, reason, clean: ((detail >>> 24) & 1) !== 0 }
}

/** The code of a connection whose handler threw: the server met what it did not expect. */
export const INTERNAL_ERROR = 1011
/** The code of a connection that the new code has no handlers for: the service was restarted. */
export const SERVICE_RESTART = 1012
/** The longest reason: what a control frame holds beside the code. */
const REASON_BYTES_MAX = 123

/**
 * Checks what a closing handshake is to say.
 *
 * @throws RangeError ERR_SLUICE_INVALID_ARG for a code that no server may send (1000–1003, 1007–1014 and 3000–4999 are), and for a reason above 123 bytes of UTF-8
 * @throws TypeError ERR_SLUICE_INVALID_ARG for a reason that is no string
 */
export function checkClose(code: number, reason: string): void {
  if (!isSendable(code)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `A close code must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, got ${String(code)}`)
  if (typeof reason !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A close reason must be a string, got ${typeof reason}`)
  // A character has at most three bytes for each of its code units.
  if (reason.length * 3 <= REASON_BYTES_MAX) return
  const bytes = Buffer.byteLength(reason)
  if (bytes > REASON_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `A close reason must have at most ${REASON_BYTES_MAX} bytes, got ${bytes}`)
}

/** RFC 6455 7.4: 1004 is reserved, 1005, 1006 and 1015 are never sent. */
function isSendable(code: number): boolean {
  if (!Number.isInteger(code)) return false
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999)
}
