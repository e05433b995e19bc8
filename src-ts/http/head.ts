import { headerId, headerNames } from '../bridge/header-names.ts'
import { type Lane, latin1Slice } from '../bridge/lane.ts'
import { FIELD_BYTES, FIELDS_MASK, FIELDS_SHIFT, HANDSHAKE_SHIFT, HEAD_LENGTH_MASK, HttpFlag, METHOD_SHIFT, methods, RECORD_WORDS, WELL_KNOWN, Word } from '../bridge/record.ts'
import { CACHED_LENGTH_MAX, textOf } from '../bridge/text-cache.ts'
import { sluiceError } from '../errors.ts'

/** Bytes before the field table. */
const TABLE = RECORD_WORDS * 4
/** Bytes of a record up to which a long text of it is taken out of the whole. */
const WHOLE_MAX = 1024

/**
 * The head of a request, read where it lies.
 *
 * While the handler call runs that is the ring: nothing is decoded before it is asked for. {@link detachHead} moves it into
 * one string that has the record's words, its field table and the head, byte for byte; later parts are substrings of it.
 * After {@link releaseHead} neither is there, and reading throws.
 */
export interface Head {
  readonly lane: Lane
  /** Word index of the record in the ring, -1 when it is no longer there. */
  at: number
  /** The whole record, '' before somebody needed it in one piece and when it was released. */
  text: string
  /** Word 1 of the record: kind, flags, number of fields, port. */
  readonly kind: number
}

/** Copies the head out of the ring. Must be called before the handler call returns, if it is to be read later. */
export function detachHead(head: Head): void {
  if (head.at < 0) return
  if (head.text === '') head.text = wholeOf(head)
  head.at = -1
}

/** Lets the ring go without a copy: the exchange is over. */
export function releaseHead(head: Head): void {
  head.at = -1
  head.text = ''
}

/** Whether reading would throw. */
export function isReleased(head: Head): boolean {
  return head.at < 0 && head.text === ''
}

/** The record and the head, as one string. */
function wholeOf(head: Head): string {
  return latin1Slice.call(head.lane.bytes, head.at * 4, head.at * 4 + lengthOf(head))
}

/** Bytes of the record and the head in the ring. */
function lengthOf(head: Head): number {
  return TABLE + fieldCount(head) * FIELD_BYTES + (head.lane.words[head.at + Word.HEAD_LENGTH]! & HEAD_LENGTH_MASK)
}

/** Entries of the field table. */
function fieldCount(head: Head): number {
  return (head.kind >>> FIELDS_SHIFT) & FIELDS_MASK
}

/** Whether the request asks for a WebSocket, and how well: one of `Handshake`. */
export function handshakeOf(head: Head): number {
  return word(head, Word.HEAD_LENGTH) >>> HANDSHAKE_SHIFT
}

/** The method as sent. */
export function methodOf(head: Head): string {
  const known = (head.kind >>> METHOD_SHIFT) & 7
  // Other methods stand before the target, with one space between.
  return known === 0 ? text(head, 0, (word(head, Word.TARGET) >>> 24) - 1) : methods[known]!
}

/** The request target as sent: path and query, or the absolute form, or `*`. */
export function targetOf(head: Head): string {
  const target = word(head, Word.TARGET)
  return text(head, target >>> 24, target & 0xffffff)
}

/** `https` when the connection is encrypted. */
export function schemeOf(head: Head): 'http' | 'https' {
  return (head.kind & HttpFlag.HTTPS) === 0 ? 'http' : 'https'
}

/** The authority the client asked for: of an absolute target, else the `Host` field; '' when there is none (HTTP/1.0). */
export function hostOf(head: Head): string {
  const target = targetOf(head)
  if (target.startsWith('/') || target === '*') return fieldOf(head, 'host') ?? ''
  const start = target.indexOf('://') + 3
  const end = target.slice(start).search(/[/?#]/)
  return end < 0 ? target.slice(start) : target.slice(start, start + end)
}

/**
 * The absolute URL: scheme, authority and target, put together as sent and not normalised.
 *
 * `OPTIONS *` has the path `/*`; a request without any authority (HTTP/1.0) gets `localhost`.
 */
export function urlOf(head: Head): string {
  const target = targetOf(head)
  const code = target.charCodeAt(0)
  if (code !== 0x2f /* / */ && code !== 0x2a /* * */) return target
  return originOf(fieldOf(head, 'host') ?? '', schemeOf(head)) + (code === 0x2f ? target : '/*')
}

// Nearly every request names the same host, so the last origin is kept.
const last: { host: string; scheme: string; origin: string } = { host: '', scheme: 'http', origin: 'http://localhost' }

function originOf(host: string, scheme: string): string {
  if (host !== last.host || scheme !== last.scheme) {
    last.host = host
    last.scheme = scheme
    last.origin = `${scheme}://${host === '' ? 'localhost' : host}`
  }
  return last.origin
}

/**
 * The value of a field, or null when the request has none. Several of one name are joined as `Headers.get` does.
 *
 * `name` in any case; a lower-case one that is well known is found without comparing text.
 */
export function fieldOf(head: Head, name: string): string | null {
  let id = headerId.get(name)
  if (id === undefined) {
    name = name.toLowerCase()
    id = headerId.get(name) ?? -1
  }
  return id >= 0 && head.at >= 0 ? knownFieldOf(head, id) : anyFieldOf(head, id, name)
}

/** A well-known field, from the ring: the usual case, one comparison per field. */
function knownFieldOf(head: Head, id: number): string | null {
  const { words } = head.lane
  const wanted = WELL_KNOWN | (id << 16)
  const first = head.at + RECORD_WORDS
  const end = first + fieldCount(head) * 2
  let found: string | null = null
  for (let place = first; place < end; place += 2) {
    if (words[place] === wanted) found = joined(found, text(head, words[place + 1]! & 0xffff, words[place + 1]! >>> 16), id === COOKIE)
  }
  return found
}

function anyFieldOf(head: Head, id: number, name: string): string | null {
  let found: string | null = null
  const count = fieldCount(head)
  for (let field = 0; field < count; field++) {
    const place = RECORD_WORDS + field * 2
    const nameWord = word(head, place)
    if ((nameWord & 0xffff) === WELL_KNOWN ? nameWord >>> 16 !== id : id >= 0 || !isNamed(head, nameWord, name)) continue
    const valueWord = word(head, place + 1)
    found = joined(found, text(head, valueWord & 0xffff, valueWord >>> 16), id === COOKIE)
  }
  return found
}

const COOKIE = headerId.get('cookie')

function joined(found: string | null, value: string, isCookie: boolean): string {
  return found === null ? value : found + (isCookie ? '; ' : ', ') + value
}

/** Every field as sent, in order, names in lower case. */
export function fieldsOf(head: Head): [name: string, value: string][] {
  const fields: [string, string][] = []
  const count = fieldCount(head)
  for (let field = 0; field < count; field++) {
    const place = RECORD_WORDS + field * 2
    const nameWord = word(head, place)
    const valueWord = word(head, place + 1)
    fields.push([nameOf(head, nameWord), text(head, valueWord & 0xffff, valueWord >>> 16)])
  }
  return fields
}

function isNamed(head: Head, nameWord: number, name: string): boolean {
  return nameWord >>> 16 === name.length && nameOf(head, nameWord) === name
}

function nameOf(head: Head, nameWord: number): string {
  if ((nameWord & 0xffff) === WELL_KNOWN) return headerNames[nameWord >>> 16]!
  return text(head, nameWord & 0xffff, nameWord >>> 16).toLowerCase()
}

/** A word of the record. */
function word(head: Head, index: number): number {
  if (head.at >= 0) return head.lane.words[head.at + index]!
  const { text } = head
  if (text === '') throw released()
  const start = index * 4
  return text.charCodeAt(start) | (text.charCodeAt(start + 1) << 8) | (text.charCodeAt(start + 2) << 16) | (text.charCodeAt(start + 3) << 24)
}

/** Text of the head, latin1. `start` counts from the first byte of the request. */
function text(head: Head, start: number, length: number): string {
  const from = TABLE + fieldCount(head) * FIELD_BYTES + start
  if (head.at >= 0) {
    if (length <= CACHED_LENGTH_MAX || lengthOf(head) > WHOLE_MAX) return textOf(head.lane.bytes, head.at * 4 + from, length)
    // One string for the second long text, and for a later detach, too: making one costs far more than its bytes.
    if (head.text === '') head.text = wholeOf(head)
  }
  if (head.text === '') throw released()
  return head.text.substring(from, from + length)
}

/** What reading a released request is answered with. */
export function released(): Error {
  return sluiceError(
    'ERR_SLUICE_INVALID_STATE',
    'The request was read after a handler that was not async had answered it, and its memory is in use again; read what is needed before the handler returns, make the handler async, or call ctx.waitUntil(promise) or ctx.after(fn) in it for work that goes on',
  )
}
