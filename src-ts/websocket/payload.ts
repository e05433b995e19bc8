import { type Lane, utf8Slice } from '../bridge/lane.ts'
import { Opcode, RECORD_WORDS, SocketFlag, SocketWord } from '../bridge/record.ts'
import { sluiceTypeError } from '../errors.ts'
import type { Frame } from './handlers.ts'

/** What may be sent. */
export type Bytes = string | Uint8Array | ArrayBuffer

/** What is sent, as the core takes it. @throws TypeError ERR_SLUICE_INVALID_ARG for anything else */
export function bytesOf(data: Bytes): string | Uint8Array {
  if (typeof data === 'string' || data instanceof Uint8Array) return data
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (ArrayBuffer.isView(data)) {
    const view = data as ArrayBufferView
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  }
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `What is sent must be a string or bytes, got ${data === null ? 'null' : typeof data}`)
}

/** Bytes of one piece of pooled memory. A message that is kept keeps all of it, so it is not larger. */
const POOL_BYTES = 16 * 1024
/** Above, memory of its own costs less than the copy. */
const POOLED_MAX = 4 * 1024
/** Up to here the engine has a faster place than ours: inside the array's own object. */
const IN_HEAP_MAX = 64

let pool = new Uint8Array(0)
let used = 0

/** A copy of ring bytes. Between 64 bytes and 4 KiB in memory that it shares with others, for a tenth of what memory of its own costs. */
function copyOf(lane: Lane, start: number, length: number): Uint8Array {
  if (length <= IN_HEAP_MAX || length > POOLED_MAX) return lane.copy(start, length)
  const copy = pooled(length)
  copy.set(lane.view(start, length))
  return copy
}

function pooled(length: number): Uint8Array {
  if (used + length > pool.length) {
    pool = new Uint8Array(POOL_BYTES)
    used = 0
  }
  const bytes = pool.subarray(used, used + length)
  // The next one begins aligned, for apps that read words.
  used = (used + length + 7) & ~7
  return bytes
}

/** Where the payload of a record about a connection begins, counted from the beginning of the ring. */
function payloadStart(at: number): number {
  return (at + RECORD_WORDS) * 4
}

/** The payload of a record as bytes: a copy. */
export function bytesAt(lane: Lane, at: number): Uint8Array {
  return copyOf(lane, payloadStart(at), lane.words[at + SocketWord.PAYLOAD_LENGTH]!)
}

/**
 * The same, in shared memory also when it is small: what lies inside its own object has to be moved out of it when the array is
 * given to the core, as a packet is that is sent back.
 */
export function sharedBytesAt(lane: Lane, at: number): Uint8Array {
  const start = payloadStart(at)
  const length = lane.words[at + SocketWord.PAYLOAD_LENGTH]!
  if (length > IN_HEAP_MAX) return copyOf(lane, start, length)
  const copy = pooled(length)
  // Cheaper than to make a view of it.
  for (let index = 0; index < length; index++) copy[index] = lane.bytes[start + index]!
  return copy
}

/** The payload of a record as text. The core has checked that it is UTF-8. */
export function textAt(lane: Lane, at: number): string {
  const start = payloadStart(at)
  return utf8Slice.call(lane.bytes, start, start + lane.words[at + SocketWord.PAYLOAD_LENGTH]!)
}

/** The payload of a record where it lies, for a call that copies it at once; empty when it lies outside. */
export function viewAt(lane: Lane, at: number): Uint8Array {
  const isBlob = (lane.words[at + SocketWord.KIND]! & SocketFlag.BLOB) !== 0
  return lane.view(payloadStart(at), isBlob ? 0 : lane.words[at + SocketWord.PAYLOAD_LENGTH]!)
}

/** Whether a message is text and whole, so that its bytes can be read as characters. */
export function isWholeText(word: number, opcode: number): boolean {
  return opcode === Opcode.TEXT && (word & SocketFlag.FIN) !== 0
}

/** Every frame there can be, so that telling of one makes no object. */
const frames: readonly Frame[] = Array.from({ length: 12 }, (_, index) =>
  Object.freeze({ opcode: (index >> 2) as Frame['opcode'], fin: (index & 1) !== 0, compressed: (index & 2) !== 0 }),
)

/** The frame of a WS_MESSAGE record. */
export function frameOf(word: number, opcode: number): Frame {
  return frames[(opcode << 2) | (word & SocketFlag.COMPRESSED ? 2 : 0) | (word & SocketFlag.FIN ? 1 : 0)]!
}
