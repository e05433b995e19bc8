import { ChannelKind, SendFlag } from '../bridge/record.ts'
import { sluiceRangeError, sluiceTypeError } from '../errors.ts'
import type { NativePush } from '../native.ts'
import type { Port, PortReach, PortStats } from '../port.ts'
import { channelName, uidText } from './channel-name.ts'
import { checkClose } from './close-info.ts'
import { type SocketInfo, socketInfoOf } from './connection-info.ts'
import { connectionId, Connections, type ConnectionSet } from './connection-set.ts'
import { type Bytes, bytesOf } from './payload.ts'
import { sendKind } from './send-options.ts'

/**
 * What happens to a receiver that does not read as fast as it is sent to: `queue` waits in its buffer and misses what goes beyond
 * `limits.sendBuffer`; `drop` misses it while anything is unsent; `latest` gets only the last of what it has not got of a topic; `close`
 * is cut off when its buffer is full.
 */
export type SlowPolicy = 'queue' | 'drop' | 'latest' | 'close'

/** How one message is pushed. */
export interface PushOptions {
  /** As a binary message; false: as text, which the bytes must then be, in UTF-8. @default what the data is */
  readonly binary?: boolean
  /** Whether to compress it for receivers that agreed to that. @default true */
  readonly compress?: boolean
}

/** How a message to many is pushed. */
export interface BroadcastOptions extends PushOptions {
  /** Ids of connections that do not get it. */
  readonly except?: Iterable<number>
  /** Only connections of these users. */
  readonly uid?: readonly (string | number)[]
  /** Only connections in this group. */
  readonly group?: string
  /** @default 'queue' */
  readonly slow?: SlowPolicy
}

/** How a message is published to a topic. */
export interface PublishOptions extends PushOptions {
  /** The id of a connection that does not get it. */
  readonly except?: number
  /** @default 'queue' */
  readonly slow?: SlowPolicy
  /** Keeps it for those who subscribe later, in place of the one before; at most 10 000 topics keep one. @default false */
  readonly retain?: boolean
}

/** Whom to close. With several given, whoever fits any of them. */
export interface KickTarget {
  readonly id?: number
  readonly uid?: string | number
  readonly group?: string
}

const SLOW: Record<SlowPolicy, number> = { queue: 0, drop: 1, latest: 2, close: 3 }
const RETAIN = 4
/** The code that `kick` and `close` say by default. */
const NORMAL = 1000

/** Reaching connections from any thread of the server. What a server is, beyond that, is in its subclasses. */
export abstract class PushServer {
  readonly #native: NativePush
  /** Every WebSocket, event stream and TCP connection of the server. */
  readonly connections: ConnectionSet

  constructor(native: NativePush) {
    this.#native = native
    this.connections = this.connectionsOf(-1)
  }

  /** The server as the core names it. @throws ERR_SLUICE_INVALID_STATE before it is started */
  protected abstract coreServer(): number
  /** The calling thread's attachment, told that a command follows; -1 when it has none. */
  protected abstract coreWorker(): number

  /** The connections of the port with this position; -1 = all. */
  protected connectionsOf(port: number): ConnectionSet {
    return new Connections(this.#native, () => this.coreServer(), port)
  }

  /** In the order of the configuration. */
  abstract readonly ports: readonly Port[]

  /** What the server's ports need of it. */
  protected reach(): PortReach {
    return {
      connections: (port) => this.connectionsOf(port),
      broadcast: (port, data, options) => this.broadcastOn(port, data, options),
      pauseAccept: (port, pause) => void this.#native.pauseAccept(this.coreServer(), port, pause),
      stats: (port) => JSON.parse(this.#native.portStats(this.coreServer(), port) ?? '{}') as PortStats,
    }
  }

  /** Sends a message to one connection: bytes accepted, -1 accepted but the peer is slow, 0 not sent (gone, or its buffer is full). */
  push(id: number, data: Bytes, options: PushOptions = {}): number {
    return this.#native.pushTo(this.coreServer(), this.coreWorker(), connectionId(id), bytesOf(data), kindOf(data, options))
  }

  /** The same as {@link push}; to a connection of a TCP port the bytes as they are. */
  send(id: number, data: Bytes): number {
    return this.push(id, data)
  }

  /**
   * Sends a packet by a UDP port, to an IP address and port, or to the path of a unix socket (`udpPort` 0). True says no more than that it is on its way.
   * False when there is no UDP port of this name, when it cannot reach such an address (host names are not looked up), when the packet is
   * too large: 65 507 bytes over IPv4, 65 527 over IPv6, 64 KiB over unix sockets.
   * @throws RangeError ERR_SLUICE_INVALID_ARG when `udpPort` is none
   */
  sendTo(port: string | number, address: string, udpPort: number, data: Bytes): boolean {
    if (!Number.isInteger(udpPort) || udpPort < 0 || udpPort > 65_535) {
      throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `\`udpPort\` must be a whole number from 0 to 65535, got ${String(udpPort)}`)
    }
    const found = this.ports.find(({ index, name }) => name === port || index === port)
    if (found?.protocol !== 'udp') return false
    return this.#native.sendTo(this.coreServer(), this.coreWorker(), found.index, String(address), udpPort, bytesOf(data))
  }

  /** Closes a connection, a WebSocket with the closing handshake. False when there is none with this id. @throws as `ws.close()` for code and reason */
  close(id: number, code: number = NORMAL, reason = ''): boolean {
    checkClose(code, reason)
    return this.#native.closeById(this.coreServer(), this.coreWorker(), connectionId(id), code, reason, false)
  }

  /** Cuts a connection off; what is unsent is dropped. False when there is none with this id. */
  reset(id: number): boolean {
    return this.#native.closeById(this.coreServer(), this.coreWorker(), connectionId(id), 1006, '', true)
  }

  /** Whether a WebSocket, an event stream or a TCP connection with this id is open. */
  exists(id: number): boolean {
    return this.#native.connectionKind(this.coreServer(), connectionId(id)) !== 0
  }

  /** Whether it is a WebSocket. */
  isEstablished(id: number): boolean {
    return this.#native.connectionKind(this.coreServer(), connectionId(id)) === 2
  }

  /** What is known of a connection; undefined when there is none with this id. Waits for what its reactor is doing at the moment. */
  getConnection(id: number): SocketInfo | undefined {
    return socketInfoOf(this.#native.connectionById(this.coreServer(), this.coreWorker(), connectionId(id)))
  }

  /** Sends to every WebSocket that fits, and with a group or users to TCP connections of theirs, too; returns how many that were. */
  broadcast(data: Bytes, options: BroadcastOptions = {}): number {
    return this.broadcastOn(undefined, data, options)
  }

  /** {@link broadcast} to one port. */
  protected broadcastOn(port: number | undefined, data: Bytes, { except, group, slow, uid, ...options }: BroadcastOptions): number {
    const filter = {
      port,
      except: except === undefined ? undefined : Array.from(except, connectionId),
      group: group === undefined ? undefined : channelName('group', group),
      uids: uid?.map(uidText),
    }
    return this.#native.broadcast(this.coreServer(), this.coreWorker(), JSON.stringify(filter), bytesOf(data), kindOf(data, options), slowFlag(slow))
  }

  /** Sends to every WebSocket and event stream that has subscribed to a topic; returns how many that were. */
  publish(topic: string, data: Bytes, { except = 0, retain = false, slow, ...options }: PublishOptions = {}): number {
    const flags = slowFlag(slow) | (retain ? RETAIN : 0)
    return this.#native.publish(this.coreServer(), this.coreWorker(), ChannelKind.TOPIC, channelName('topic', topic), bytesOf(data), kindOf(data, options), flags, except)
  }

  /** How many connections have subscribed to a topic. */
  subscribers(topic: string): number {
    return this.#native.channelSize(this.coreServer(), ChannelKind.TOPIC, channelName('topic', topic))
  }

  /** Says whose connection it is, in place of whose it was. False when there is none with this id. */
  bindUid(id: number, uid: string | number): boolean {
    return this.#native.bindUidById(this.coreServer(), connectionId(id), uidText(uid))
  }

  /** Sends to all connections of a user; returns how many that were. */
  sendToUid(uid: string | number, data: Bytes, options: PushOptions = {}): number {
    return this.#native.publish(this.coreServer(), this.coreWorker(), ChannelKind.UID, uidText(uid), bytesOf(data), kindOf(data, options), 0, 0)
  }

  /** Sends to all connections of a group; returns how many that were. */
  sendToGroup(group: string, data: Bytes, options: BroadcastOptions = {}): number {
    if (options.uid !== undefined || options.except !== undefined) return this.broadcast(data, { ...options, group })
    const { slow, ...rest } = options
    return this.#native.publish(this.coreServer(), this.coreWorker(), ChannelKind.GROUP, channelName('group', group), bytesOf(data), kindOf(data, rest), slowFlag(slow), 0)
  }

  /** Whether a user has any connection. */
  isUidOnline(uid: string | number): boolean {
    return this.#native.channelSize(this.coreServer(), ChannelKind.UID, uidText(uid)) > 0
  }

  /** Closes every connection that fits; returns how many were asked to. @throws as `ws.close()` for code and reason */
  kick({ group, id, uid }: KickTarget, code: number = NORMAL, reason = ''): number {
    checkClose(code, reason)
    const target = {
      id: id === undefined ? undefined : connectionId(id),
      uid: uid === undefined ? undefined : uidText(uid),
      group: group === undefined ? undefined : channelName('group', group),
    }
    return this.#native.kick(this.coreServer(), this.coreWorker(), JSON.stringify(target), code, reason)
  }
}

function kindOf(data: Bytes, options: PushOptions): number {
  return sendKind(typeof data === 'string', SendFlag.COMPRESS, options)
}

function slowFlag(slow: SlowPolicy = 'queue'): number {
  const flag = SLOW[slow]
  if (flag === undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`slow\` must be 'queue', 'drop', 'latest' or 'close', got ${String(slow)}`)
  return flag
}
