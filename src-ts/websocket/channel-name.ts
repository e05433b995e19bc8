import { sluiceTypeError } from '../errors.ts'

/** The name of a topic or a group. @throws TypeError ERR_SLUICE_INVALID_ARG when it is none: a string of at least one character */
export function channelName(what: 'topic' | 'group', name: string): string {
  if (typeof name === 'string' && name !== '') return name
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A ${what} must be a string that is not empty, got ${name === '' ? "''" : typeof name}`)
}

/** A user id as the core keeps it: text, so that 7 and '7' are the same user. @throws TypeError ERR_SLUICE_INVALID_ARG */
export function uidText(uid: string | number): string {
  if (typeof uid === 'string' && uid !== '') return uid
  if (typeof uid === 'number' && Number.isFinite(uid)) return String(uid)
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A uid must be a number or a string that is not empty, got ${typeof uid === 'number' || uid === '' ? `'${uid}'` : typeof uid}`)
}
