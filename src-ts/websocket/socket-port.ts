import { SendFlag } from '../bridge/record.ts'
import type { AnyWebSocketHandlers } from './handlers.ts'
import { settingsOf } from './settings.ts'
import type { SocketHost } from './socket.ts'

/** What the WebSockets of one port are handled with. */
export interface SocketPort {
  readonly handlers: AnyWebSocketHandlers
  /** What `upgrade` is called with, the same for every connection. */
  readonly settings: Uint8Array
  readonly host: SocketHost
}

/** The port's part of `sockets`; `shared` is what all ports have in common. */
export function socketPort(handlers: AnyWebSocketHandlers, shared: Omit<SocketHost, 'handlers' | 'concurrency' | 'compress'>): SocketPort {
  return {
    handlers,
    settings: settingsOf(handlers),
    host: {
      ...shared,
      handlers,
      concurrency: handlers.concurrency ?? 1,
      compress: (handlers.options?.compression ?? false) === false ? 0 : SendFlag.COMPRESS,
    },
  }
}
