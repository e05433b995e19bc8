import type { CommonHandlers } from '../connection/handlers.ts'
import type { Context } from '../context.ts'
import { sluiceTypeError } from '../errors.ts'
import type { FieldsInit } from '../http/header-block.ts'
import type { WebSocketConn } from './connection.ts'

type Awaitable<T> = T | Promise<T>

/** What a message looked like on the wire. */
export interface Frame {
  /** 1 text, 2 binary; with `deliver: 'frame'` also 0, the continuation of the message before. */
  readonly opcode: 0 | 1 | 2
  /** The last frame of its message. Always, unless frames are delivered one by one. */
  readonly fin: boolean
  /** It came compressed. */
  readonly compressed: boolean
}

/** What `upgrade` gives to accept a handshake, and what `ctx.upgrade()` takes. */
export interface UpgradeOptions<D = unknown, S = unknown> {
  /** The first value of `ws.data`. */
  data?: D
  /** The first value of `ws.state`. */
  state?: S
  /** The subprotocol; one that the client offered. @default the first of `options.protocols` that was offered, else none */
  protocol?: string
  /** Further fields of the answer, such as cookies. */
  headers?: FieldsInit
}

/** Settings of the connections of one set of handlers. */
export interface WebSocketOptions {
  /** permessage-deflate, if the client offers it. `contextTakeover` costs up to 300 KiB for each connection. @default false */
  readonly compression?: boolean | { readonly level?: number; readonly contextTakeover?: boolean; readonly minBytes?: number }
  /** Longest message in bytes, after decompression; a longer one closes the connection with 1009. @default `limits.message` of the port */
  readonly maxPayload?: number
  /** Subprotocols in the order of preference. */
  readonly protocols?: readonly string[]
  /** How long a closing handshake may take, in milliseconds. @default 5000 */
  readonly closeTimeout?: number
  /** `frame` gives the frames of a fragmented message one by one; those of a text that are not the whole text as bytes. @default 'message' */
  readonly deliver?: 'message' | 'frame'
  /** Lets a client that lost its connection come back within `window` milliseconds and get what it missed, up to `buffer` bytes. @default false */
  readonly resume?: { readonly window: number; readonly buffer: number } | false
}

/**
 * What an app does with WebSockets. The handlers of one connection run one after the other: while one that returned a
 * promise is pending, nothing else of its connection is handled and, when enough waits, read.
 *
 * What a handler throws goes to `error`, or else to the server's `error` event, and closes the connection with 1011.
 */
export interface WebSocketHandlers<D = unknown, S = unknown> extends CommonHandlers<WebSocketConn<D, S>> {
  /** Paths whose handshakes are meant: exact, or all that begin so with a `*` at the end. @default every path */
  path?: string | readonly string[]
  /**
   * Decides on a handshake. A `Response` (of status 300 or above) refuses it, anything else accepts. Without it, one that
   * fits `path` is accepted; without `path`, `fetch` decides by `ctx.upgrade()`; without `fetch`, all are accepted.
   */
  upgrade?(req: Request, ctx: Context): Awaitable<Response | void | UpgradeOptions<D, S>>
  /** The connection is open. Messages wait until it has settled. */
  open?(ws: WebSocketConn<D, S>, req: Request, ctx: Context): Awaitable<void>
  /** A message: text as a string, binary as bytes of its own (`data.buffer` may hold more than them). */
  message(ws: WebSocketConn<D, S>, data: string | Uint8Array, frame: Frame): Awaitable<void>
  /** A ping, which the core has answered already. */
  ping?(ws: WebSocketConn<D, S>, data: Uint8Array): Awaitable<void>
  pong?(ws: WebSocketConn<D, S>, data: Uint8Array): Awaitable<void>
  readonly options?: WebSocketOptions
}

/** Gives `handlers` back; for the types of `ws.data` and `ws.state`. */
export function defineWebSocket<D = unknown, S = unknown>(handlers: WebSocketHandlers<D, S>): WebSocketHandlers<D, S> {
  return handlers
}

/** Handlers of any connection: what of `data` and `state` only the app knows. */
// oxlint-disable-next-line typescript/no-explicit-any -- the app's own types; in a handler's argument `unknown` would refuse every one
export type AnyWebSocketHandlers = WebSocketHandlers<any, any>

const FUNCTIONS = ['upgrade', 'open', 'message', 'ping', 'pong', 'adopt', 'close', 'highWater', 'drain', 'error'] as const

/** Most handlers of one connection at once: what they hold is not bounded otherwise. */
const CONCURRENCY_MAX = 65_536

/** Checks what an app exports as `websocket`. @throws TypeError ERR_SLUICE_INVALID_ARG, naming the part */
export function checkWebSocketHandlers(value: unknown): AnyWebSocketHandlers {
  if (typeof value !== 'object' || value === null) throw wrong('`websocket`', 'an object of handlers', value)
  const handlers = value as Record<string, unknown>
  for (const name of FUNCTIONS) {
    const given = handlers[name]
    if (given === undefined && name !== 'message') continue
    if (typeof given !== 'function') throw wrong(`\`websocket.${name}\``, 'a function', given)
  }
  const { concurrency, path } = handlers
  if (concurrency !== undefined && !isCount(concurrency, 1, CONCURRENCY_MAX)) throw wrong('`websocket.concurrency`', `a whole number from 1 to ${CONCURRENCY_MAX}`, concurrency)
  for (const one of path === undefined ? [] : Array.isArray(path) ? path : [path]) {
    if (typeof one !== 'string' || !one.startsWith('/') || one.slice(0, -1).includes('*')) throw wrong('`websocket.path`', 'a path that begins with `/` and has a `*` at most at its end', one)
  }
  checkOptions(handlers['options'])
  return value as AnyWebSocketHandlers
}

/** 32 bits: what the core keeps of sizes and times. */
const U32_MAX = 0xffffffff

function checkOptions(value: unknown): void {
  if (value === undefined) return
  if (typeof value !== 'object' || value === null) throw wrong('`websocket.options`', 'an object', value)
  const { closeTimeout, compression, deliver, maxPayload, protocols, resume } = value as Record<keyof WebSocketOptions, unknown>
  count('maxPayload', maxPayload, 1)
  count('closeTimeout', closeTimeout, 1)
  if (deliver !== undefined && deliver !== 'message' && deliver !== 'frame') throw wrong('`websocket.options.deliver`', "'message' or 'frame'", deliver)
  if (protocols !== undefined && !(Array.isArray(protocols) && protocols.every(isToken))) throw wrong('`websocket.options.protocols`', 'a list of tokens', protocols)
  if (compression !== undefined && typeof compression !== 'boolean') {
    if (typeof compression !== 'object' || compression === null) throw wrong('`websocket.options.compression`', 'a boolean or an object', compression)
    const { contextTakeover, level, minBytes } = compression as Record<string, unknown>
    if (level !== undefined && !isCount(level, 0, 9)) throw wrong('`websocket.options.compression.level`', 'a whole number from 0 to 9', level)
    if (contextTakeover !== undefined && typeof contextTakeover !== 'boolean') throw wrong('`websocket.options.compression.contextTakeover`', 'a boolean', contextTakeover)
    count('compression.minBytes', minBytes, 0)
  }
  if (resume !== undefined && resume !== false) {
    if (typeof resume !== 'object' || resume === null) throw wrong('`websocket.options.resume`', 'false or an object', resume)
    const { buffer, window } = resume as Record<string, unknown>
    if (!isCount(window, 1, U32_MAX)) throw wrong('`websocket.options.resume.window`', 'milliseconds from 1', window)
    if (!isCount(buffer, 0, U32_MAX)) throw wrong('`websocket.options.resume.buffer`', 'bytes from 0', buffer)
  }
}

function count(name: string, value: unknown, min: number): void {
  if (value !== undefined && !isCount(value, min, U32_MAX)) throw wrong(`\`websocket.options.${name}\``, `a whole number from ${min}`, value)
}

function isCount(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

/** RFC 9110 5.6.2: what a subprotocol's name is made of. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(value)
}

function wrong(what: string, expected: string, got: unknown): Error {
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${what} must be ${expected}, got ${typeof got === 'object' ? JSON.stringify(got) : String(got)}`)
}
