import { latin1Slice } from './lane.ts'

/** Longest text that is looked up; above, comparing costs what slicing does. */
export const CACHED_LENGTH_MAX = 32
/** Places, a power of two. Bounds the memory: 256 texts of at most 32 characters per thread. */
const PLACES = 256

const texts: string[] = Array.from({ length: PLACES }, () => '')
/** The same texts as bytes: reading a character of a string costs several times a byte of an array. */
const kept = new Uint8Array(PLACES * CACHED_LENGTH_MAX)

/**
 * Text from ring bytes, latin1. Short texts that come again and again (paths, hosts, field values) are found in place,
 * which takes a fraction of making a new string.
 */
export function textOf(bytes: Uint8Array, start: number, length: number): string {
  if (length > CACHED_LENGTH_MAX || length === 0) return latin1Slice.call(bytes, start, start + length)
  // Three bytes tell most texts apart; a collision costs no more than the slice.
  const place = (length + bytes[start]! * 3 + bytes[start + (length >> 1)]! * 31 + bytes[start + length - 1]! * 7) & (PLACES - 1)
  const at = place * CACHED_LENGTH_MAX
  if (texts[place]!.length === length) {
    let same = 0
    while (same < length && kept[at + same] === bytes[start + same]) same++
    if (same === length) return texts[place]!
  }
  for (let index = 0; index < length; index++) kept[at + index] = bytes[start + index]!
  const text = latin1Slice.call(bytes, start, start + length)
  texts[place] = text
  return text
}
