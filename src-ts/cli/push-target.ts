import { sluiceTypeError } from '../errors.ts'

/** Whom a message is pushed to: one connection, the members of a channel, or every WebSocket. */
export type PushTarget =
  | { readonly kind: 'id'; readonly id: number }
  | { readonly kind: 'uid' | 'group' | 'topic'; readonly name: string }
  | { readonly kind: 'all' }

/** Longest name of a channel, in bytes; the core has no longer ones. */
const NAME_BYTES_MAX = 255

/** Reads a target as it is written on the command line. @throws TypeError ERR_SLUICE_INVALID_ARG, saying what it may be */
export function parsePushTarget(text: string): PushTarget {
  if (text === 'all') return { kind: 'all' }
  if (/^[1-9]\d*$/.test(text) && Number.isSafeInteger(Number(text))) return { kind: 'id', id: Number(text) }
  const [, kind, name = ''] = /^(uid|group|topic):(.+)$/s.exec(text) ?? []
  if ((kind === 'uid' || kind === 'group' || kind === 'topic') && Buffer.byteLength(name) <= NAME_BYTES_MAX) return { kind, name }
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A target must be the id of a connection, uid:NAME, group:NAME or topic:NAME with a name of 1 to ${NAME_BYTES_MAX} bytes, or all; got ${JSON.stringify(text.slice(0, 300))}`)
}
