/**
 * Values as they cross from thread to thread in the core: one byte that says what follows, then that. Primitives and bytes are written by hand, the rest
 * is V8's own serialisation, which begins with a byte of its own.
 */
import { utf8Slice } from '../bridge/lane.ts'
import { sluiceRangeError, sluiceTypeError } from '../errors.ts'
import { culprit } from './culprit.ts'

const Tag = { UNDEFINED: 0, NULL: 1, FALSE: 2, TRUE: 3, NUMBER: 4, TEXT: 5, BYTES: 6, BUFFER: 7, /** The first byte of what V8 writes. */ V8: 0xff } as const

/** Longest payload: an input or a result of a task, a value of its progress. */
export const PAYLOAD_BYTES_MAX: number = 16 * 1024 * 1024

const constants = { undefined: Uint8Array.of(Tag.UNDEFINED), null: Uint8Array.of(Tag.NULL), false: Uint8Array.of(Tag.FALSE), true: Uint8Array.of(Tag.TRUE) } as const

/**
 * A value as bytes, which are nobody else's and must not be changed. `where` begins the message of an error, `name` the path in it.
 *
 * @throws TypeError ERR_SLUICE_TASK_PAYLOAD for what structured clone cannot copy, with its `path`; RangeError ERR_SLUICE_TASK_PAYLOAD above `max` bytes
 */
export function encodePayload(value: unknown, where: string, name = 'input', max: number = PAYLOAD_BYTES_MAX): Uint8Array {
  switch (typeof value) {
    case 'undefined':
      return constants.undefined
    case 'boolean':
      return value ? constants.true : constants.false
    case 'number': {
      const bytes = Buffer.allocUnsafe(9)
      bytes[0] = Tag.NUMBER
      bytes.writeDoubleLE(value, 1)
      return bytes
    }
    case 'string':
      // What is no text in UTF-8 would come back as another.
      if (value.isWellFormed()) return encodeText(value, where, max)
      break
    case 'object':
      if (value === null) return constants.null
      if (value instanceof Uint8Array) return encodeBytes(value, where, max)
      break
  }
  return clone(value, where, name, max)
}

/** What {@link encodePayload} was given: a copy that has nothing of these bytes. Nothing at all is undefined. */
export function decodePayload(bytes: Buffer, start = 0, end: number = bytes.length): unknown {
  if (end <= start) return undefined
  switch (bytes[start]) {
    case Tag.UNDEFINED:
      return undefined
    case Tag.NULL:
      return null
    case Tag.FALSE:
      return false
    case Tag.TRUE:
      return true
    case Tag.NUMBER:
      return bytes.readDoubleLE(start + 1)
    case Tag.TEXT:
      return utf8Slice.call(bytes, start + 1, end)
    case Tag.BYTES:
      return copyOf(bytes, start + 1, end)
    case Tag.BUFFER:
      return Buffer.from(copyOf(bytes, start + 1, end).buffer)
    default:
      // Typed arrays in it are views into the copy.
      return v8().deserialize(copyOf(bytes, start, end))
  }
}

/** @returns the error for a payload of so many bytes */
export function tooLong(where: string, bytes: number, max: number): Error {
  return sluiceRangeError('ERR_SLUICE_TASK_PAYLOAD', `${where} must have at most ${max} bytes, got ${bytes}`)
}

function encodeText(text: string, where: string, max: number): Uint8Array {
  const length = Buffer.byteLength(text) + 1
  if (length > max) throw tooLong(where, length, max)
  const bytes = Buffer.allocUnsafe(length)
  bytes[0] = Tag.TEXT
  bytes.write(text, 1)
  return bytes
}

function encodeBytes(content: Uint8Array, where: string, max: number): Uint8Array {
  const length = content.length + 1
  if (length > max) throw tooLong(where, length, max)
  const bytes = Buffer.allocUnsafe(length)
  bytes[0] = content.constructor === Buffer ? Tag.BUFFER : Tag.BYTES
  bytes.set(content, 1)
  return bytes
}

function clone(value: unknown, where: string, name: string, max: number): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = v8().serialize(value)
  } catch (cause) {
    const { path, kind } = culprit(value, name, isCloneable)
    const error = sluiceTypeError('ERR_SLUICE_TASK_PAYLOAD', `${where} cannot be cloned: \`${path}\` is ${kind}`, { cause })
    throw Object.assign(error, { path })
  }
  if (bytes.length > max) throw tooLong(where, bytes.length, max)
  return bytes
}

function isCloneable(value: unknown): boolean {
  try {
    v8().serialize(value)
    return true
  } catch {
    return false
  }
}

function copyOf(bytes: Buffer, start: number, end: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(end - start)
  copy.set(bytes.subarray(start, end))
  return copy
}

/** Loaded with the first call that needs it: a worker without any starts without it. */
function v8(): typeof import('node:v8') {
  return process.getBuiltinModule('node:v8')
}
