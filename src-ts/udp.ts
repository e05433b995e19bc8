import { sluiceRangeError, sluiceTypeError } from './errors.ts'
import type { Bytes } from './websocket/payload.ts'

/** An address of a packet: of UDP an IP address and a port; of a unix socket its path, '' for one without a name, and port 0. */
export interface PacketAddress {
  readonly address: string
  readonly port: number
}

/** Where a packet came from. Usable for as long as you like: nothing is held by it. */
export interface UdpPeer extends PacketAddress {
  /** Where it came to: the group of a multicast packet, the address of ours on a port bound to all of them, else as bound. */
  readonly local: PacketAddress
  /** When the core received it, Unix ms. It may have waited since. */
  readonly receivedAt: number
  /**
   * Sends a packet back, from the address that the first one came to. False when it is too large (more than 65 507 bytes over IPv4,
   * 65 527 over IPv6, 64 KiB over unix sockets) or the worker has left. True says no more than that it is on its way.
   * @throws TypeError ERR_SLUICE_INVALID_ARG for what is neither a string nor bytes
   */
  reply(data: Bytes): boolean
}

/** What an app does with the packets of a UDP port. */
export interface UdpHandlers {
  /** A packet. `data` is yours. What it throws or rejects with is reported as an error of the app. */
  packet(data: Uint8Array, peer: UdpPeer): unknown
  /**
   * Packets of this port whose promises are pending in one worker at once, 1 to 65 536; more go to other workers or wait in the core, and
   * are dropped when as many wait as may. @default 256
   */
  readonly concurrency?: number | undefined
}

/** Gives `handlers` back; for their types. */
export function defineUdp(handlers: UdpHandlers): UdpHandlers {
  return handlers
}

/** The default of {@link UdpHandlers.concurrency}. */
export const UDP_CONCURRENCY = 256
const CONCURRENCY_MAX = 65_536

/** `handlers`, if they are handlers of packets. @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG that begins with `where` */
export function checkUdpHandlers(handlers: unknown, where: string): UdpHandlers {
  if (typeof handlers !== 'object' || handlers === null || typeof (handlers as UdpHandlers).packet !== 'function') {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${where} must be an object with a function \`packet\`, as defineUdp() takes it`)
  }
  const { concurrency } = handlers as UdpHandlers
  if (concurrency !== undefined && !(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= CONCURRENCY_MAX)) {
    throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `${where}: \`concurrency\` must be a whole number from 1 to ${CONCURRENCY_MAX}, got ${String(concurrency)}`)
  }
  return handlers as UdpHandlers
}
