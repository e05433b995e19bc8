import { sluiceRangeError, sluiceTypeError } from '../errors.ts'

/** Longest serialised state of a connection, in bytes: it lies in the core for as long as the connection lives. */
const STATE_BYTES_MAX = 16 * 1024

/**
 * State as the core keeps it; null for undefined, which is no state.
 *
 * @throws TypeError ERR_SLUICE_INVALID_ARG for what structured clone cannot copy, RangeError ERR_SLUICE_STATE_TOO_LARGE above 16 KiB
 */
export function encodeState(state: unknown): Uint8Array | null {
  if (state === undefined) return null
  let bytes: Uint8Array
  try {
    bytes = v8().serialize(state)
  } catch (cause) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'The state of a connection cannot be cloned', { cause })
  }
  if (bytes.length > STATE_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_STATE_TOO_LARGE', `The state of a connection must have at most ${STATE_BYTES_MAX} bytes, got ${bytes.length}`)
  return bytes
}

/** What {@link encodeState} was given, as a new copy. */
export function decodeState(bytes: Uint8Array | undefined): unknown {
  return bytes === undefined ? undefined : v8().deserialize(bytes)
}

/** Loaded with the first state: a worker without any starts without it. */
function v8(): typeof import('node:v8') {
  return process.getBuiltinModule('node:v8')
}
