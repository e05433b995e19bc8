import type { Commands } from '../bridge/commands.ts'
import type { NativePackets } from '../native.ts'

/** The way up for packets. After the worker has left the core every call does nothing and says so. */
export class PacketCommands {
  readonly #native: NativePackets
  readonly #worker: number
  readonly #commands: Commands

  constructor(native: NativePackets, worker: number, commands: Commands) {
    this.#native = native
    this.#worker = worker
    this.#commands = commands
  }

  /** Sends a packet; the middle arguments are those of a PACKET record. False when it is too large. */
  reply(lane: number, meta: number, peer: number, local: number, address: Uint8Array | null, data: string | Uint8Array): boolean {
    return this.#commands.announce() && this.#native.replyPacket(this.#worker, lane, meta, peer, local, address, data)
  }

  /** A packet goes back, to another worker; `record` is copied. */
  return(lane: number, record: Uint8Array): void {
    if (this.#commands.announce()) this.#native.returnPacket(this.#worker, lane, record)
  }

  /** No packet of a port comes any more, or they come again. */
  pause(lane: number, port: number, yes: boolean): void {
    if (this.#commands.announce()) this.#native.pausePackets(this.#worker, lane, port, yes)
  }
}
