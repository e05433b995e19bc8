import type { Commands } from '../bridge/commands.ts'
import type { SocketCommands } from '../bridge/socket-commands.ts'
import { Exchanges } from '../bridge/exchanges.ts'
import type { Lane } from '../bridge/lane.ts'
import { type Context, type ContextHost, summaryOf } from '../context.ts'
import type { WorkerMemory } from '../native.ts'
import type { HandledPort } from '../app.ts'
import type { WorkerInfo } from '../process/api.ts'
import type { PortRecord } from '../process/messages.ts'
import { CodingChoice, type ContentCoding } from './content-coding.ts'
import type { ClaimedExchange, DetachedHost } from './detached.ts'
import type { Exchange } from './exchange.ts'
import type { FormBounds } from './form.ts'
import { Proxies } from './forwarded.ts'
import { openEventStream, type SseOptions, type SseStream } from '../websocket/event-stream.ts'
import type { UpgradeOptions } from '../websocket/handlers.ts'
import { Sockets } from '../websocket/sockets.ts'
import { upgradeResponse } from '../websocket/upgrade.ts'
import type { PacketCommands } from '../udp/packet-commands.ts'
import { type BoundAddress, Packets } from '../udp/packets.ts'
import type { Report } from './report.ts'
import type { SluiceResponse } from './response.ts'

/** What a worker serves with. */
export interface WorkerHostOptions {
  readonly ports: readonly (Pick<PortRecord, 'bodyBytes' | 'proxy'> & BoundAddress)[]
  /** Who handles what comes by them. */
  readonly handled: readonly HandledPort[]
  /** How answers are compressed, the preferred coding first; none: not at all. @default [] */
  readonly codings?: readonly ContentCoding[] | undefined
  /** Whether the codings of request bodies are undone. @default false */
  readonly decodes?: boolean | undefined
  /** Most fields of a form that is not in parts. @default 1000 */
  readonly formFields?: number | undefined
  readonly worker: WorkerInfo
  /** Where relative paths of files start. @default the working directory */
  readonly root?: string | undefined
  readonly report: Report
}

/** What the exchanges and contexts of one worker have in common, and the account of what is in its hands. */
export class WorkerHost implements DetachedHost, ContextHost {
  readonly commands: Commands
  readonly bodyBytes: readonly number[]
  readonly codings: CodingChoice | null
  readonly decodes: boolean
  readonly formBounds: FormBounds
  readonly worker: WorkerInfo
  readonly root: string
  readonly #report: Report
  /** By lane. */
  readonly #exchanges: readonly Exchanges<Exchange | ClaimedExchange>[]
  #idPrefix = ''
  #ids = 0
  #now = 0
  #abortReason: unknown
  /** By port; null where no peer speaks for others. */
  readonly #proxies: readonly (Proxies | null)[]
  /** WebSockets and event streams of this worker. */
  readonly sockets: Sockets
  /** Packets that come to this worker. */
  readonly packets: Packets
  /** Counts what is pending; the worker waits for it when it leaves. */
  readonly account: { readonly begin: () => void; readonly end: () => void }
  #inflight = 0
  #pending = 0
  #waiting: (() => void)[] = []

  constructor(commands: Commands, socketCommands: SocketCommands, packetCommands: PacketCommands, memory: WorkerMemory, options: WorkerHostOptions) {
    this.commands = commands
    this.bodyBytes = options.ports.map(({ bodyBytes }) => bodyBytes)
    this.#proxies = options.ports.map(({ proxy }) => (proxy === undefined ? null : new Proxies(proxy)))
    this.codings = options.codings === undefined || options.codings.length === 0 ? null : new CodingChoice(options.codings)
    this.decodes = options.decodes ?? false
    this.formBounds = { fields: options.formFields ?? 1000 }
    this.worker = options.worker
    this.root = options.root ?? '.'
    this.#report = options.report
    const block = new Int32Array(memory.block)
    const account = (this.account = {
      begin: () => {
        this.#pending++
      },
      end: () => {
        this.#pending--
        this.#settle()
      },
    })
    this.sockets = new Sockets({
      commands: socketCommands,
      lanes: memory.events.length,
      block,
      handlers: options.handled.map(({ app, tcp }) => ({ websocket: app.websocket, tcp })),
      report: options.report,
      ...account,
    })
    this.packets = new Packets({
      commands: packetCommands,
      block,
      handlers: options.handled.map(({ udp }) => udp),
      bound: options.ports,
      report: (error) => options.report(error, 'udp'),
      ...account,
    })
    this.#exchanges = Array.from({ length: memory.events.length }, () => new Exchanges<Exchange | ClaimedExchange>())
  }

  proxiesOf(port: number): Proxies | null {
    return this.#proxies[port] ?? null
  }

  get now(): number {
    return this.#now
  }

  get abortReason(): unknown {
    return this.#abortReason
  }

  /** Exchanges that outlived their handler call and are not over. */
  get inflight(): number {
    return this.#inflight
  }

  beginBatch(now: number): void {
    // A whole number stays a small integer in every exchange; a fraction would be an object each.
    this.#now = Math.floor(now)
  }

  exchangesOf(lane: Lane): Exchanges<Exchange | ClaimedExchange> {
    return this.#exchanges[lane.index]!
  }

  get laneCount(): number {
    return this.#exchanges.length
  }

  keepClaimed(exchange: ClaimedExchange): void {
    this.#keep(exchange)
  }

  closeClaimed(exchange: ClaimedExchange): void {
    this.#close(exchange)
  }

  keep(exchange: Exchange): void {
    this.#keep(exchange)
  }

  close(exchange: Exchange): void {
    this.#close(exchange)
  }

  #keep(exchange: Exchange | ClaimedExchange): void {
    this.#inflight++
    this.#exchanges[exchange.lane.index]!.add(exchange)
  }

  #close(exchange: Exchange | ClaimedExchange): void {
    this.#inflight--
    this.#exchanges[exchange.lane.index]!.remove(exchange)
    this.#settle()
  }

  /** 48 random bits for this thread, then a count: unique, short, and of the characters a client's id may have. */
  nextId(): string {
    // Loaded here: an app that never asks for an id starts without it.
    if (this.#idPrefix === '') this.#idPrefix = `${process.getBuiltinModule('node:crypto').randomBytes(6).toString('base64url')}-`
    return this.#idPrefix + (++this.#ids).toString(36)
  }

  waitUntil(promise: PromiseLike<unknown>, context: Context, phase: 'waitUntil' | 'after'): void {
    this.#pending++
    void Promise.resolve(promise)
      .catch((error: unknown) => this.#report(error, phase, summaryOf(context)))
      .finally(() => {
        this.#pending--
        this.#settle()
      })
  }

  upgrade(exchange: Exchange, context: Context, options: UpgradeOptions | undefined): SluiceResponse {
    return upgradeResponse(exchange, context, this.sockets, options)
  }

  sse(exchange: Exchange, context: Context, options: SseOptions | undefined): SseStream {
    return openEventStream(exchange, context, this.sockets, options)
  }

  settled(): Promise<void> {
    if (this.#inflight === 0 && this.#pending === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  abort(reason: unknown): void {
    this.#abortReason = reason
    for (const exchanges of this.#exchanges) for (const exchange of exchanges) exchange.abort(reason)
    this.sockets.abort()
  }

  #settle(): void {
    if (this.#inflight > 0 || this.#pending > 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
