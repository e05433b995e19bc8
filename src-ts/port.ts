import { sluiceError, sluiceTypeError } from './errors.ts'
import type { PortProtocol } from './options.ts'
import type { PortRecord } from './process/messages.ts'
import type { ConnectionSet } from './websocket/connection-set.ts'
import type { Bytes } from './websocket/payload.ts'
import type { BroadcastOptions } from './websocket/push.ts'

/** Where a port is bound: an address with the number the kernel gave, or the file of a unix socket. */
export type PortAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/** Hosts that mean "every address of this machine"; a URL needs one that can be connected to. */
const ANY_HOSTS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** What an encrypted port's URL begins with, by what it would without. */
const SECURE = { udp: 'udp', http: 'https', tcp: 'tls' } as const

/** What a port can do with its connections. */
export interface PortReach {
  connections(port: number): ConnectionSet
  broadcast(port: number, data: Bytes, options: BroadcastOptions): number
  pauseAccept(port: number, pause: boolean): void
  stats(port: number): PortStats
}

/** What one port has done. */
export interface PortStats {
  /** Open connections. */
  readonly connections: number
  readonly acceptCount: number
  readonly closeCount: number
  readonly requestCount: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Whether accepting is paused by {@link Port.pauseAccept}. */
  readonly paused: boolean
}

/** One bound address of the server. */
export class Port {
  /** The name in `server.port(name)`. */
  readonly name: string
  /** The position in `server.ports`. */
  readonly index: number
  readonly protocol: PortProtocol
  /** Where it is bound; where it should be, if there is an {@link Port.error}. */
  readonly address: PortAddress
  /** Why a port that is `optional` could not be bound: ERR_SLUICE_LISTEN. */
  readonly error: Error | undefined
  /** Whether it is encrypted. */
  readonly isSecure: boolean
  /** The WebSockets, event streams and TCP connections that came by this port. */
  readonly connections: ConnectionSet
  readonly #reach: PortReach

  constructor({ name, protocol, error, tls }: Pick<PortRecord, 'name' | 'protocol' | 'error' | 'tls'>, index: number, address: PortAddress, reach: PortReach) {
    this.name = name
    this.index = index
    this.protocol = protocol
    this.address = address
    this.error = error === undefined ? undefined : sluiceError('ERR_SLUICE_LISTEN', error)
    this.isSecure = tls
    this.connections = reach.connections(index)
    this.#reach = reach
  }

  /** Without a slash at its end: `http://127.0.0.1:5200`, `tcp://[::1]:5291`, `udp://127.0.0.1:5292`, `unix:/run/app.sock`. */
  get url(): string {
    if ('path' in this.address) return `unix:${shownSocket(this.address.path)}`
    const { host, port } = this.address
    const reachable = ANY_HOSTS.has(host) ? 'localhost' : host
    return `${schemeOf(this.protocol, this.isSecure)}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
  }

  /** Sends to every WebSocket or TCP connection of this port that fits; returns how many that were. */
  broadcast(data: Bytes, options: BroadcastOptions = {}): number {
    return this.#reach.broadcast(this.index, data, options)
  }

  /** Accepts no more connections, from any thread of the server. Those that come wait in the system's queue, as many as `tcp.backlog` says; packets until its buffer is full. */
  pauseAccept(): void {
    this.#reach.pauseAccept(this.index, true)
  }

  /** Accepts again, first those that wait. */
  resumeAccept(): void {
    this.#reach.pauseAccept(this.index, false)
  }

  /** Its counters. @throws ERR_SLUICE_INVALID_STATE when the server has ended */
  stats(): PortStats {
    return this.#reach.stats(this.index)
  }
}

/** What the URL of a port begins with. */
export function schemeOf(protocol: PortProtocol, isSecure: boolean): string {
  const scheme = protocol === 'tcp' || protocol === 'udp' ? protocol : 'http'
  return isSecure ? SECURE[scheme] : scheme
}

/** The ports of a server, from what the core has bound. @throws ERR_SLUICE_INTERNAL for an address that is none */
export function portsFrom(records: readonly Omit<PortRecord, 'bodyBytes'>[], reach: PortReach): readonly Port[] {
  return records.map((record, index) => {
    const { host, port, path } = record
    if (path !== undefined) return new Port(record, index, { path }, reach)
    if (host !== undefined && port !== undefined) return new Port(record, index, { host, port }, reach)
    throw sluiceError('ERR_SLUICE_INTERNAL', `Port \`${record.name}\` has neither an address nor a path`)
  })
}

/** A name in the abstract namespace as other tools show it, with `@` for the NUL. */
export function shownSocket(path: string): string {
  return path.startsWith('\0') ? `@${path.slice(1)}` : path
}

/** The port with this name or position. @throws ERR_SLUICE_INVALID_ARG when there is none */
export function findPort(ports: readonly Port[], name: string | number): Port {
  const found = ports.find((port) => port.name === name || port.index === name)
  if (found) return found
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is no port ${JSON.stringify(name)}, only ${ports.map((port) => `"${port.name}"`).join(', ')}`)
}
