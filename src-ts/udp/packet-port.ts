import type { Lane } from '../bridge/lane.ts'
import { PacketFlag, PacketWord, RECORD_WORDS } from '../bridge/record.ts'
import { isThenable } from '../thenable.ts'
import { UDP_CONCURRENCY, type UdpHandlers } from '../udp.ts'
import { sharedBytesAt } from '../websocket/payload.ts'
import { Peer, type PeerHost } from './peer.ts'

/** What a worker's UDP ports have in common with each other, and each for itself. */
export interface PacketPortHost extends PeerHost {
  readonly report: (error: unknown) => void
  /** A handler is pending; the worker waits for it when it leaves. */
  begin(): void
  end(): void
}

/** The packets of one UDP port in one worker. */
export class PacketPort {
  readonly #host: PacketPortHost
  readonly #index: number
  readonly #handlers: UdpHandlers
  readonly #concurrency: number
  /** Handlers that are pending. */
  #pending = 0
  #paused = false

  constructor(host: PacketPortHost, index: number, handlers: UdpHandlers) {
    this.#host = host
    this.#index = index
    this.#handlers = handlers
    this.#concurrency = handlers.concurrency ?? UDP_CONCURRENCY
  }

  /** Runs a PACKET record, or gives it back. */
  deliver(lane: Lane, at: number): void {
    const { words } = lane
    const length = words[at + PacketWord.PAYLOAD_LENGTH]!
    const kind = words[at + PacketWord.KIND]!
    if (this.#pending >= this.#concurrency) {
      // It was in the ring before the core knew.
      this.#host.commands.return(lane.index, lane.view(at * 4, words[at + PacketWord.LENGTH]!))
      return
    }
    const flags = (kind >>> 8) & 0xff
    const meta = this.#index | (flags << 8) | (words[at + PacketWord.PEER_PORT]! << 16)
    const peerWord = words[at + PacketWord.PEER]!
    const address = flags & (PacketFlag.V6 | PacketFlag.UNIX) ? lane.copy((at + RECORD_WORDS) * 4 + length, peerWord) : null
    const peer = new Peer(this.#host, lane.index, flags, meta, peerWord, words[at + PacketWord.LOCAL]!, address, words[at + PacketWord.RECEIVED]!)
    try {
      const result = this.#handlers.packet(sharedBytesAt(lane, at), peer)
      if (isThenable(result)) this.#hold(lane.index, result)
    } catch (error) {
      this.#host.report(error)
    }
  }

  #hold(lane: number, promise: PromiseLike<unknown>): void {
    this.#host.begin()
    if (++this.#pending >= this.#concurrency && !this.#paused) {
      this.#paused = true
      this.#host.commands.pause(lane, this.#index, true)
    }
    const settle = (): void => {
      this.#host.end()
      // Not at every packet: each way costs a command.
      if (--this.#pending <= this.#concurrency >> 1 && this.#paused) {
        this.#paused = false
        this.#host.commands.pause(lane, this.#index, false)
      }
    }
    promise.then(settle, (error: unknown) => {
      settle()
      this.#host.report(error)
    })
  }
}
