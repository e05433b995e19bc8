import { sluiceRangeError, sluiceTypeError } from '../errors.ts'

/** Longest serialised input of a call, in bytes: it lies in the core until the call is over. */
const INPUT_BYTES_MAX = 64 * 1024
/** How deep the search for what cannot be cloned goes. */
const DEPTH_MAX = 16
/** How many values of one object it looks at. */
const WIDTH_MAX = 1_000

/**
 * Input as the core keeps it. `where` names it in errors.
 *
 * @throws TypeError ERR_SLUICE_TASK_PAYLOAD for what structured clone cannot copy, with its `path`; RangeError ERR_SLUICE_TASK_PAYLOAD above 64 KiB
 */
export function encodeInput(input: unknown, where: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = v8().serialize(input)
  } catch (cause) {
    const { path, value } = culprit(input)
    const error = sluiceTypeError('ERR_SLUICE_TASK_PAYLOAD', `${where} cannot be cloned: \`${path}\` is ${kindOf(value)}`, { cause })
    throw Object.assign(error, { path })
  }
  if (bytes.length > INPUT_BYTES_MAX) throw tooLong(where, bytes.length)
  return bytes
}

/** What {@link encodeInput} was given, as a new copy. */
export function decodeInput(bytes: Uint8Array): unknown {
  return v8().deserialize(bytes)
}

/** @returns the error for an input of so many bytes */
export function tooLong(where: string, bytes: number): Error {
  return sluiceRangeError('ERR_SLUICE_TASK_PAYLOAD', `${where} must have at most ${INPUT_BYTES_MAX} bytes, got ${bytes}`)
}

/** The innermost value that cannot be cloned, as far as it can be found. */
function culprit(input: unknown): { readonly path: string; readonly value: unknown } {
  let path = 'input'
  let value = input
  try {
    for (let depth = 0; depth < DEPTH_MAX && typeof value === 'object' && value !== null; depth++) {
      const inner = partsOf(value).find(([, part]) => !isCloneable(part))
      if (inner === undefined) break
      path += inner[0]
      value = inner[1]
    }
  } catch {
    // A getter threw: it is in here somewhere.
  }
  return { path, value }
}

/** The parts of an object, with what follows its path. */
function partsOf(value: object): [suffix: string, part: unknown][] {
  if (Array.isArray(value)) return value.slice(0, WIDTH_MAX).map((part: unknown, index) => [`[${index}]`, part])
  if (value instanceof Set) return [...value].slice(0, WIDTH_MAX).map((part: unknown, index) => [`[${index}]`, part])
  if (value instanceof Map) return [...value].slice(0, WIDTH_MAX).map(([key, part]: [unknown, unknown]) => [`.get(${String(key)})`, part])
  return Object.entries(value).slice(0, WIDTH_MAX).map(([key, part]) => [`.${key}`, part])
}

function isCloneable(value: unknown): boolean {
  try {
    v8().serialize(value)
    return true
  } catch {
    return false
  }
}

function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `a ${typeof value}`
  return `of class ${String(value.constructor?.name ?? 'Object')}`
}

/** Loaded with the first call: a worker without any starts without it. */
function v8(): typeof import('node:v8') {
  return process.getBuiltinModule('node:v8')
}
