import { sluiceTypeError } from '../errors.ts'

/** What a name means to us beyond being sent. */
export const Rule = { PLAIN: 0, CONTENT_TYPE: 1, CONTENT_LENGTH: 2, CONNECTION: 3, DATE: 4, SERVER: 5, DROPPED: 6 } as const

export interface FieldRule {
  /** `name: `, in lower case. */
  readonly prefix: string
  readonly rule: number
}

const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['content-type', Rule.CONTENT_TYPE],
  ['content-length', Rule.CONTENT_LENGTH],
  ['connection', Rule.CONNECTION],
  ['keep-alive', Rule.DROPPED],
  ['transfer-encoding', Rule.DROPPED],
  ['date', Rule.DATE],
  ['server', Rule.SERVER],
])

/** RFC 9110 5.6.2, token. */
const NOT_A_TOKEN = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/
/** What would end a field early, or does not fit a byte. */
// oxlint-disable-next-line no-control-regex
const UNSENDABLE = /[\0\r\n]|[^\x00-\xff]/
/** Names an app uses are few; made-up ones beyond this many are checked anew each time. */
const KNOWN_NAMES_MAX = 512

const knownNames = new Map<string, FieldRule>()

/** @throws TypeError ERR_SLUICE_INVALID_ARG when `name` is no token */
export function fieldRule(name: string): FieldRule {
  const known = knownNames.get(name)
  if (known !== undefined) return known
  if (name === '' || NOT_A_TOKEN.test(name)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Header name must be a token, got ${JSON.stringify(name)}`)
  const lower = name.toLowerCase()
  const field = { prefix: `${lower}: `, rule: SPECIAL.get(lower) ?? Rule.PLAIN }
  if (knownNames.size < KNOWN_NAMES_MAX) knownNames.set(name, field)
  return field
}

/** Checks one field. @throws TypeError ERR_SLUICE_INVALID_ARG when it could not be sent as what it is */
export function checkField(name: string, value: string): void {
  fieldRule(name)
  checkValue(name, value)
}

/** @throws TypeError ERR_SLUICE_INVALID_ARG when `value` would end its line early, or does not fit bytes */
export function checkValue(name: string, value: string): void {
  if (!UNSENDABLE.test(value)) return
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Header ${JSON.stringify(name)} must have no CR, LF, NUL or character above U+00FF, got ${JSON.stringify(value)}`)
}
