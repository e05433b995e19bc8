import { PacketFlag } from '../bridge/record.ts'
import type { PacketAddress, UdpPeer } from '../udp.ts'
import { type Bytes, bytesOf } from '../websocket/payload.ts'
import { ipv4Text, ipv6Text } from './ip-text.ts'
import type { PacketCommands } from './packet-commands.ts'

/** Where the address of ours and the scope lie in the address of an IPv6 peer. */
const SCOPE_AT = 16
const LOCAL_AT = 20

/** What the peers of one port have in common. */
export interface PeerHost {
  readonly commands: PacketCommands
  /** Where the port is bound. */
  readonly bound: PacketAddress
}

/** The sender of a packet, as its record names it. Texts are made when they are asked for. */
export class Peer implements UdpPeer {
  readonly #host: PeerHost
  readonly #lane: number
  // The words of the record as they were read: signed, which keeps them small integers.
  readonly #flags: number
  /** As `replyPacket` takes it. */
  readonly #meta: number
  readonly #peer: number
  readonly #local: number
  /** A copy; null for IPv4. */
  readonly #bytes: Uint8Array | null
  readonly #received: number

  constructor(host: PeerHost, lane: number, flags: number, meta: number, peer: number, local: number, bytes: Uint8Array | null, received: number) {
    this.#host = host
    this.#lane = lane
    this.#flags = flags
    this.#meta = meta
    this.#peer = peer
    this.#local = local
    this.#bytes = bytes
    this.#received = received
  }

  get address(): string {
    const bytes = this.#bytes
    if (bytes === null) return ipv4Text(this.#peer)
    if (this.#flags & PacketFlag.UNIX) return new TextDecoder().decode(bytes)
    return ipv6Text(bytes, new DataView(bytes.buffer, bytes.byteOffset).getUint32(SCOPE_AT, true))
  }

  get port(): number {
    return this.#meta >>> 16
  }

  get local(): PacketAddress {
    const { bound } = this.#host
    const address = this.#localText()
    return address === undefined ? bound : { address, port: bound.port }
  }

  get receivedAt(): number {
    const now = Date.now()
    // The record has the low 32 bits of the time; the difference has the rest, for three weeks.
    return now - ((now - this.#received) | 0)
  }

  reply(data: Bytes): boolean {
    return this.#host.commands.reply(this.#lane, this.#meta, this.#peer, this.#local, this.#bytes, bytesOf(data))
  }

  /** Undefined: as bound. */
  #localText(): string | undefined {
    const bytes = this.#bytes
    if (bytes === null) return this.#local === 0 ? undefined : ipv4Text(this.#local)
    if (this.#flags & PacketFlag.UNIX) return undefined
    const local = bytes.subarray(LOCAL_AT)
    return local.every((byte) => byte === 0) ? undefined : ipv6Text(local, 0)
  }

  /** For consoles: everything here is private or made on demand. */
  toJSON(): { address: string; port: number; local: PacketAddress; receivedAt: number } {
    const { address, port, local, receivedAt } = this
    return { address, port, local, receivedAt }
  }

  [Symbol.for('nodejs.util.inspect.custom')](): unknown {
    return { ...this.toJSON() }
  }
}
