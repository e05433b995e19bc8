import { SocketFlag, SocketWord } from '../bridge/record.ts'
import type { SharedHost, SocketHost } from '../connection/socket.ts'
import { bytesAt } from '../websocket/payload.ts'
import { TcpConn } from './connection.ts'
import type { AnyTcpHandlers } from './handlers.ts'

/** What the connections of one TCP port are handled with. */
export interface TcpPort {
  readonly handlers: AnyTcpHandlers
  readonly host: SocketHost<TcpConn>
}

/** The port's part of `sockets`; `shared` is what all ports have in common. */
export function tcpPort(handlers: AnyTcpHandlers, shared: SharedHost): TcpPort {
  return {
    handlers,
    host: {
      ...shared,
      handlers,
      concurrency: handlers.concurrency ?? 1,
      phase: 'tcp',
      compress: 0,
      conn: (socket) => new TcpConn(socket),
      message: (socket, lane, at) => {
        const { words } = lane
        const isBlob = (words[at + SocketWord.KIND]! & SocketFlag.BLOB) !== 0
        const bytes = isBlob ? socket.fetch(words[at + SocketWord.SEQUENCE]!) : bytesAt(lane, at)
        return bytes && handlers.data(socket.conn, bytes)
      },
    },
  }
}
