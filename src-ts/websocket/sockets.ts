import type { Lane } from '../bridge/lane.ts'
import { BlockWord, OPEN_RESUMED, PORT_SHIFT, RecordKind, SLOT_MASK, SocketWord } from '../bridge/record.ts'
import type { SocketCommands } from '../bridge/socket-commands.ts'
import type { AdoptedFrom } from '../connection/handlers.ts'
import { type ConnectionName, type RecordTarget, type SharedHost, Socket, type SocketHost } from '../connection/socket.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Report } from '../http/report.ts'
import type { AnyTcpHandlers } from '../tcp/handlers.ts'
import { type TcpPort, tcpPort } from '../tcp/tcp-port.ts'
import { SERVICE_RESTART } from './close-info.ts'
import type { AnyWebSocketHandlers } from './handlers.ts'
import { type SocketPort, socketPort } from './socket-port.ts'

/** Whoever asked for a connection, and waits for it. */
export interface Opening {
  /** It is there. Records follow, for what is {@link Sockets.add}ed. */
  opened(name: ConnectionName): void
  /** It ended before anybody here could have it. */
  lost(): void
}

/** What the connections of one worker are made with. */
export interface SocketsOptions {
  readonly commands: SocketCommands
  /** One for each reactor. */
  readonly lanes: number
  /** By port: what is done with its WebSockets, or with its connections if it speaks TCP. Neither: no handshake is accepted. */
  readonly handlers: readonly { readonly websocket?: AnyWebSocketHandlers | undefined; readonly tcp?: AnyTcpHandlers | undefined }[]
  readonly report: Report
  /** Something is in hand that the worker waits for when it leaves. */
  readonly begin: () => void
  readonly end: () => void
  /** The words of the worker's block. */
  readonly block: Int32Array
}

/** The value of {@link AdoptedFrom.reason} by the low byte of word 4 of a WS_ADOPT record. */
const REASONS: readonly AdoptedFrom['reason'][] = ['reload', 'crash', 'stuck', 'recycle', 'rebalance']

/** What the connections of one reactor are known by here. */
interface Table {
  /** By slot: small numbers that are used again, so this is no longer than the most connections that the reactor had at once. */
  readonly bySlot: (RecordTarget | undefined)[]
  /** By index of the exchange that the connection came from. */
  readonly openings: (Opening | undefined)[]
}

/** The connections that one worker owns, and the records about them. */
export class Sockets {
  readonly commands: SocketCommands
  readonly begin: () => void
  readonly end: () => void
  readonly #ports: readonly (SocketPort | undefined)[]
  readonly #tcpPorts: readonly (TcpPort | undefined)[]
  readonly #tables: readonly Table[]

  constructor({ begin, block, commands, end, handlers, lanes, report }: SocketsOptions) {
    this.commands = commands
    this.begin = begin
    this.end = end
    this.#tables = Array.from({ length: lanes }, () => ({ bySlot: [], openings: [] }))
    const shared: SharedHost = {
      commands,
      report,
      begin,
      end,
      holdMessage: () => {
        block[BlockWord.PENDING_MESSAGES]! += 1
      },
      settleMessage: () => {
        block[BlockWord.PENDING_MESSAGES]! -= 1
      },
      forget: (target: RecordTarget) => this.forget(target),
    }
    this.#ports = handlers.map(({ websocket }) => websocket && socketPort(websocket, shared))
    this.#tcpPorts = handlers.map(({ tcp }) => tcp && tcpPort(tcp, shared))
  }

  /** What WebSockets of a port are handled with; undefined where the app has no handlers. */
  ofPort(port: number): SocketPort | undefined {
    return this.#ports[port]
  }

  /** The next WS_OPEN for this exchange is meant for `opening`. */
  expect({ index, lane }: Exchange, opening: Opening): void {
    put(this.#tables[lane.index]!.openings, index, opening)
  }

  /** It no longer comes. */
  cancel({ index, lane }: Exchange, opening: Opening): void {
    const { openings } = this.#tables[lane.index]!
    if (openings[index] === opening) openings[index] = undefined
  }

  add(target: RecordTarget): void {
    put(this.#tables[target.lane]!.bySlot, target.slot, target)
  }

  /** No record is for `target` any more, unless its slot has gone to a later one. */
  forget(target: RecordTarget): void {
    const { bySlot } = this.#tables[target.lane]!
    if (bySlot[target.slot] === target) bySlot[target.slot] = undefined
  }

  /** The worker leaves: whatever it would have to wait for without end, is ended. */
  abort(): void {
    for (const { bySlot } of this.#tables) for (const target of bySlot) target?.abort()
  }

  /** Hands a record about a connection on; one about a connection that is not ours any more is dropped. */
  deliver(lane: Lane, at: number, kind: number): void {
    const { words } = lane
    const slot = words[at + SocketWord.SLOT]! & SLOT_MASK
    if (kind === RecordKind.WS_OPEN || kind === RecordKind.WS_ADOPT) {
      this.#begin(lane, at, kind, slot)
      return
    }
    const target = this.#tables[lane.index]!.bySlot[slot]
    if (target === undefined || target.generation !== words[at + SocketWord.GENERATION]) return
    switch (kind) {
      case RecordKind.WS_MESSAGE:
        return target.message(lane, at)
      case RecordKind.WS_CLOSE:
        return target.close(lane, at)
      case RecordKind.WS_DRAIN:
        return target.drain()
      case RecordKind.WS_HIGH:
        return target.high()
      case RecordKind.WS_HANDOVER:
        return target.handover()
      case RecordKind.WS_SETTLE:
        return target.settle()
    }
  }

  #begin({ index: lane, words }: Lane, at: number, kind: number, slot: number): void {
    const tcp = this.#tcpPorts[words[at + SocketWord.KIND]! >>> PORT_SHIFT]
    const detail = words[at + SocketWord.DETAIL]!
    const id = (words[at + SocketWord.ID_LOW]! >>> 0) + (words[at + SocketWord.ID_HIGH]! >>> 0) * 2 ** 32
    const { openings } = this.#tables[lane]!
    // A connection of a TCP port comes from no exchange.
    const isExpected = kind === RecordKind.WS_OPEN && tcp === undefined
    const opening = isExpected ? openings[detail] : undefined
    if (isExpected) openings[detail] = undefined
    const handle = this.commands.attach(id)
    if (handle < 0) {
      // Gone already, and nobody has heard of it; but its request is still in hand.
      opening?.lost()
      return
    }
    const sequence = words[at + SocketWord.SEQUENCE]!
    const isOpen = kind === RecordKind.WS_OPEN
    const resumed = isOpen && (words[at + SocketWord.KIND]! & OPEN_RESUMED) !== 0 ? { missed: sequence } : undefined
    const name: ConnectionName = { id, lane, slot, generation: words[at + SocketWord.GENERATION]!, handle, next: isOpen ? 0 : sequence, resumed }
    if (isExpected) opening?.opened(name)
    else if (isOpen) this.#connect(tcp!, name)
    else this.#adopt<unknown>(name, tcp?.host ?? this.#ports[words[at + SocketWord.KIND]! >>> PORT_SHIFT]?.host, { worker: detail >>> 8, reason: REASONS[detail & 0xff] ?? 'reload' })
  }

  /** Somebody has connected to a TCP port. */
  #connect({ handlers, host }: TcpPort, name: ConnectionName): void {
    const socket = new Socket(host, name, null)
    this.add(socket)
    if (handlers.connect !== undefined) socket.open(() => handlers.connect!(socket.conn))
  }

  /** Takes a connection over from another worker. The app hears of it with the first event. */
  #adopt<C>(name: ConnectionName, host: SocketHost<C> | undefined, from: AdoptedFrom): void {
    if (host === undefined) {
      // The new code has no handlers; whoever is connected shall look for what there is now.
      this.commands.close(name.handle, SERVICE_RESTART, '')
      this.commands.release(name.handle, name.next >>> 0)
      return
    }
    this.add(new Socket(host, name, from))
  }
}

/** Makes the array long enough without holes, which would make every look-up in it slower. */
function put<T>(array: (T | undefined)[], index: number, value: T): void {
  while (array.length < index) array.push(undefined)
  array[index] = value
}
