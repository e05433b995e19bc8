import { type Lane, utf8Slice } from '../bridge/lane.ts'
import { Opcode, SendFlag, SocketFlag, SocketWord } from '../bridge/record.ts'
import type { SharedHost, Socket, SocketHost } from '../connection/socket.ts'
import { WebSocketConn } from './connection.ts'
import type { AnyWebSocketHandlers } from './handlers.ts'
import { bytesAt, frameOf, isWholeText, textAt } from './payload.ts'
import { settingsOf } from './settings.ts'

/** What the WebSockets of one port are handled with. */
export interface SocketPort {
  readonly handlers: AnyWebSocketHandlers
  /** What `upgrade` is called with, the same for every connection. */
  readonly settings: Uint8Array
  readonly host: SocketHost<WebSocketConn>
}

/** The port's part of `sockets`; `shared` is what all ports have in common. */
export function socketPort(handlers: AnyWebSocketHandlers, shared: SharedHost): SocketPort {
  return {
    handlers,
    settings: settingsOf(handlers),
    host: {
      ...shared,
      handlers,
      concurrency: handlers.concurrency ?? 1,
      phase: 'websocket',
      compress: (handlers.options?.compression ?? false) === false ? 0 : SendFlag.COMPRESS,
      conn: (socket) => new WebSocketConn(socket),
      message: (socket, lane, at) => handle(handlers, socket, lane, at),
    },
  }
}

function handle(handlers: AnyWebSocketHandlers, socket: Socket<WebSocketConn>, lane: Lane, at: number): unknown {
  const { words } = lane
  const word = words[at + SocketWord.KIND]!
  const opcode = words[at + SocketWord.DETAIL]!
  if (opcode === Opcode.PING || opcode === Opcode.PONG) {
    const handler = opcode === Opcode.PING ? 'ping' : 'pong'
    return handlers[handler]?.(socket.conn, bytesAt(lane, at))
  }
  const isText = isWholeText(word, opcode)
  if ((word & SocketFlag.BLOB) === 0) return handlers.message(socket.conn, isText ? textAt(lane, at) : bytesAt(lane, at), frameOf(word, opcode))
  const bytes = socket.fetch(words[at + SocketWord.SEQUENCE]!)
  if (bytes === undefined) return undefined
  return handlers.message(socket.conn, isText ? utf8Slice.call(bytes, 0, bytes.length) : bytes, frameOf(word, opcode))
}
