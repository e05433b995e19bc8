import { sluiceTypeError } from '../errors.ts'
import { type Bytes, bytesOf } from './payload.ts'

/** An event of a stream. */
export interface SseEvent {
  /** Text; bytes are read as UTF-8. Lines in it arrive joined by `\n`. */
  readonly data: Bytes
  /** The name, for `addEventListener`. @default 'message', at the client */
  readonly event?: string
  /** What the client names as `Last-Event-ID` when it comes back. */
  readonly id?: string
}

const decoder = new TextDecoder()
const LINE_BREAK = /\r\n|\r|\n/

/** An event as it is sent (WHATWG HTML 9.2.5). @throws TypeError ERR_SLUICE_INVALID_ARG for a name or id with a line break or NUL, and for data that is neither text nor bytes */
export function encodeEvent({ data, event, id }: SseEvent): string {
  const bytes = bytesOf(data)
  const text = typeof bytes === 'string' ? bytes : decoder.decode(bytes)
  let lines = ''
  if (id !== undefined) lines += `id: ${checked('id', id)}\n`
  if (event !== undefined) lines += `event: ${checked('event', event)}\n`
  if (!text.includes('\n') && !text.includes('\r')) return `${lines}data: ${text}\n\n`
  for (const line of text.split(LINE_BREAK)) lines += `data: ${line}\n`
  return `${lines}\n`
}

function checked(what: 'event' | 'id', value: string): string {
  // oxlint-disable-next-line no-control-regex
  if (typeof value === 'string' && !/[\0\r\n]/.test(value)) return value
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The ${what} of an event must be a string without CR, LF and NUL, got ${JSON.stringify(value)}`)
}
