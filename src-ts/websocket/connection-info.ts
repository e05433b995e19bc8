import type { ConnectionInfo } from '../context.ts'
import { tlsInfoOf, type TlsRecord } from '../tls-info.ts'

/** What the core knows of a connection that outlives requests. Times are Unix milliseconds, sizes bytes. */
export interface SocketInfo extends ConnectionInfo {
  readonly kind: 'websocket' | 'sse' | 'tcp'
  readonly state: 'open' | 'closing'
  /** Whom `bind()` has bound it to. */
  readonly uid: string | undefined
  readonly groups: readonly string[]
  readonly topics: readonly string[]
  /** The worker that gets its events; undefined while none does, after a reload until there is an event. */
  readonly worker: number | undefined
  /** Exempt from the heartbeat. */
  readonly protected: boolean
  readonly lastReceivedAt: number
  readonly lastSentAt: number
  readonly messagesIn: number
  readonly messagesOut: number
}

/** Reads what `connectionById` gives; undefined for null. */
export function socketInfoOf(json: string | null): SocketInfo | undefined {
  if (json === null) return undefined
  // Written by our own core, on this machine, a moment ago.
  const info = JSON.parse(json) as Omit<SocketInfo, 'family' | 'tls' | 'uid' | 'worker'> & { family: string | number; tls?: TlsRecord; uid?: string | null; worker?: number | null }
  const family = String(info.family)
  return { ...info, tls: tlsInfoOf(info.tls), family: family === 'unix' ? 'unix' : family === '6' ? 6 : 4, uid: info.uid ?? undefined, worker: info.worker === null || info.worker === undefined || info.worker < 0 ? undefined : info.worker }
}
