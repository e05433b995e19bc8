import type { Lane } from '../bridge/lane.ts'
import { BlockWord, PacketWord, PORT_SHIFT } from '../bridge/record.ts'
import type { PortRecord } from '../process/messages.ts'
import type { PacketAddress, UdpHandlers } from '../udp.ts'
import type { PacketCommands } from './packet-commands.ts'
import { PacketPort } from './packet-port.ts'

/** Where a port is bound, as far as it is known. */
export type BoundAddress = Partial<Pick<PortRecord, 'host' | 'port' | 'path'>>

/** What the packets of one worker are handled with. */
export interface PacketsOptions {
  readonly commands: PacketCommands
  /** By port; undefined where packets do not come. */
  readonly handlers: readonly (UdpHandlers | undefined)[]
  readonly bound: readonly BoundAddress[]
  readonly report: (error: unknown) => void
  readonly begin: () => void
  readonly end: () => void
  /** The words of the worker's block. */
  readonly block: Int32Array
}

/** The packets of one worker. */
export class Packets {
  readonly #ports: readonly (PacketPort | undefined)[]

  constructor({ begin, block, bound, commands, end, handlers, report }: PacketsOptions) {
    const shared = {
      commands,
      report,
      begin: () => {
        block[BlockWord.PENDING_PACKETS]! += 1
        begin()
      },
      end: () => {
        block[BlockWord.PENDING_PACKETS]! -= 1
        end()
      },
    }
    this.#ports = handlers.map((own, index) => own && new PacketPort({ ...shared, bound: addressOf(bound[index] ?? {}) }, index, own))
  }

  /** Runs a PACKET record. */
  deliver(lane: Lane, at: number): void {
    // A worker does not start without handlers for each of its UDP ports.
    this.#ports[lane.words[at + PacketWord.KIND]! >>> PORT_SHIFT]?.deliver(lane, at)
  }
}

function addressOf({ host = '', path, port = 0 }: BoundAddress): PacketAddress {
  return path === undefined ? { address: host, port } : { address: path, port: 0 }
}
