import type { AnyWebSocketHandlers } from './handlers.ts'

/** Bits of word 1. */
const Flag = { COMPRESSION: 1, CONTEXT_TAKEOVER: 2, FRAMES: 4, PING: 8, PONG: 16, HIGH: 32, CLOSE: 64 } as const
/** Words of the settings; the last three are reserved. */
const WORDS = 10
/** Of zlib: a third of the best level's time for nearly its size. */
const DEFAULT_LEVEL = 3
/** Bytes below which compressing saves less than it costs. */
const DEFAULT_MIN_BYTES = 1024
/** Milliseconds. */
const DEFAULT_CLOSE_TIMEOUT = 5_000

/** What the core is told of a connection that it upgrades: ten little-endian u32. Records that nobody handles are not asked for. */
export function settingsOf({ highWater, options = {}, ping, pong }: AnyWebSocketHandlers): Uint8Array {
  const { closeTimeout = DEFAULT_CLOSE_TIMEOUT, compression = false, deliver, maxPayload = 0, resume = false } = options
  const { contextTakeover = false, level = DEFAULT_LEVEL, minBytes = DEFAULT_MIN_BYTES } = typeof compression === 'object' ? compression : {}
  // WS_CLOSE is always wanted: it is what ends our side of the connection.
  let flags: number = Flag.CLOSE
  if (compression !== false) flags |= Flag.COMPRESSION
  if (compression !== false && contextTakeover) flags |= Flag.CONTEXT_TAKEOVER
  if (deliver === 'frame') flags |= Flag.FRAMES
  if (ping !== undefined) flags |= Flag.PING
  if (pong !== undefined) flags |= Flag.PONG
  if (highWater !== undefined) flags |= Flag.HIGH
  const settings = new DataView(new ArrayBuffer(WORDS * 4))
  const words = [maxPayload, flags, level, minBytes, closeTimeout, resume === false ? 0 : resume.window, resume === false ? 0 : resume.buffer]
  for (const [index, word] of words.entries()) settings.setUint32(index * 4, word, true)
  return new Uint8Array(settings.buffer)
}
