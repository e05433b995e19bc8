import type { Lane } from '../bridge/lane.ts'
import { Opcode, SendFlag, SocketWord, Template, TEMPLATE_SHIFT } from '../bridge/record.ts'
import type { Context } from '../context.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { Exchange, Outgoing } from '../http/exchange.ts'
import { fieldOf } from '../http/head.ts'
import type { FieldsInit, HeaderBlock } from '../http/header-block.ts'
import { type SluiceResponse, takeoverResponse } from '../http/response.ts'
import { Takeover } from '../http/takeover.ts'
import { channelName } from './channel-name.ts'
import { DrainSignal } from './drain-signal.ts'
import { encodeEvent, type SseEvent } from './sse-event.ts'
import type { ConnectionName, RecordTarget } from '../connection/socket.ts'
import type { Opening, Sockets } from './sockets.ts'

/** What an event stream is to be. */
export interface SseOptions {
  /** What is published to these comes as events, also while no worker has the stream. @default none */
  readonly topics?: readonly string[]
  /** How long clients wait before they connect again, in milliseconds. @default the client's own */
  readonly retry?: number
  /** Sends again what the client has missed of the topics, by its `Last-Event-ID`. @default true */
  readonly lastEventId?: boolean
  /** Events of topics have the topic as their name, for `addEventListener(topic)`. @default false */
  readonly named?: boolean
  /** Further fields of the answer, such as cookies. */
  readonly headers?: FieldsInit
}

/** Fields of the answer that the core sends itself. Those of the framing are dropped, as from any answer. */
const OWN_FIELD = /^(?:cache-control|content-type|date|server|x-accel-buffering)$/i
/** What may be sent before the answer is out, in bytes. */
const EARLY_BYTES_MAX = 256 * 1024
/** Milliseconds; 32 bits are what the core keeps. */
const RETRY_MAX = 0xffffffff

/**
 * A stream of server-sent events.
 *
 * Its topics go on across reload and crash, and so does the client's connection. What the code of this worker sends by
 * itself ends with the worker: a stream without topics keeps a leaving worker as an unfinished answer does, and is closed
 * with it; one with topics is let go at once, and {@link closed} tells.
 */
export class SseStream {
  /** To be returned from the handler. */
  readonly response: Response
  readonly #stream: EventStream

  /** @internal */
  constructor(response: Response, stream: EventStream) {
    this.response = response
    this.#stream = stream
  }

  /** Of the connection; what `server.push()` takes. */
  get id(): number {
    return this.#stream.id
  }

  /**
   * Sends an event. Bytes accepted, also before the answer is out; -1: accepted, but the client reads slowly, so wait for
   * {@link drained}; 0: not sent, the stream has ended or the limit is reached.
   *
   * @throws TypeError ERR_SLUICE_INVALID_ARG for a name or id with a line break or NUL
   */
  send(event: SseEvent): number {
    return this.#stream.send(event)
  }

  /** Resolves when sending may go on after a `send()` that gave -1 or 0, or when the stream has ended. Rejects only with the reason of `signal`. */
  drained(signal?: AbortSignal): Promise<void> {
    return this.#stream.drainSignal.wait(signal)
  }

  /** Ends the stream behind what was sent. Browsers then connect again, unless they are answered with 204. */
  close(): void {
    this.#stream.end()
  }

  /** Resolves when nothing sent here reaches the client any more. */
  get closed(): Promise<void> {
    return this.#stream.closed
  }
}

/** Makes the stream of a request. @throws TypeError ERR_SLUICE_INVALID_ARG for options that cannot be used */
export function openEventStream(exchange: Exchange, context: Context, sockets: Sockets, options: SseOptions = {}): SseStream {
  const { headers, lastEventId = true, named = false, retry, topics = [] } = options
  if (retry !== undefined && !(Number.isInteger(retry) && retry >= 0 && retry <= RETRY_MAX)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`retry\` must be a whole number of milliseconds, got ${String(retry)}`)
  for (const topic of topics) channelName('topic', topic)
  const last = lastEventId ? fieldOf(exchange, 'last-event-id') : null
  const stream = new EventStream(exchange, context, sockets, topics.length > 0, {
    topics,
    replay: lastEventId,
    named,
    ...(retry !== undefined && { retry }),
    ...(last !== null && last !== '' && { lastEventId: last }),
  })
  context.after(() => stream.settled())
  const response: SluiceResponse = takeoverResponse(stream, 200, headers)
  return new SseStream(response as unknown as Response, stream)
}

/** The worker's side of one event stream. */
export class EventStream extends Takeover implements Opening, Outgoing, RecordTarget {
  readonly drainSignal: DrainSignal
  readonly closed: Promise<void>
  lane: number
  slot: number
  generation: number
  readonly #exchange: Exchange
  readonly #context: Context
  readonly #sockets: Sockets
  readonly #hasTopics: boolean
  /** What the core is told, as it takes it. */
  readonly #options: object
  #id: number
  #handle: number
  #next: number
  /** What was sent before the connection was there. */
  #early: string
  #earlyBytes: number
  /** The app has closed it. */
  #isClosing: boolean
  /** Nothing can be sent any more. */
  #isOver: boolean
  /** The worker leaves and waits for it. */
  #isLingering: boolean
  #resolve: () => void = () => undefined
  #done: () => void = () => undefined

  constructor(exchange: Exchange, context: Context, sockets: Sockets, hasTopics: boolean, options: object) {
    super()
    this.drainSignal = new DrainSignal()
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.lane = exchange.lane.index
    this.slot = -1
    this.generation = -1
    this.#exchange = exchange
    this.#context = context
    this.#sockets = sockets
    this.#hasTopics = hasTopics
    this.#options = options
    this.#id = 0
    this.#handle = -1
    this.#next = 0
    this.#early = ''
    this.#earlyBytes = 0
    this.#isClosing = false
    this.#isOver = false
    this.#isLingering = false
  }

  /** The connection keeps the id it had for the request. */
  get id(): number {
    return this.#id === 0 ? this.#context.conn.id : this.#id
  }

  send(event: SseEvent): number {
    if (this.#isOver || this.#isClosing) return 0
    const text = encodeEvent(event)
    if (this.#handle < 0) {
      const bytes = Buffer.byteLength(text)
      if (this.#earlyBytes + bytes > EARLY_BYTES_MAX) return 0
      this.#early += text
      this.#earlyBytes += bytes
      return bytes
    }
    const sent = this.#sockets.commands.send(this.#handle, text, Opcode.TEXT | SendFlag.FIN)
    if (sent < 0 || (sent === 0 && this.#sockets.commands.isOpen(this.#handle))) this.drainSignal.slow()
    // The record that tells a leaving worker of the end may still be on its way.
    else if (sent === 0 && this.#isLingering) this.#finish()
    return sent
  }

  end(): void {
    if (this.#isOver || this.#isClosing) return
    this.#isClosing = true
    if (this.#handle < 0) return
    this.#sockets.commands.close(this.#handle, 1000, '')
    if (this.#isLingering) this.#finish()
  }

  override take(exchange: Exchange, block: HeaderBlock): Promise<void> | undefined {
    if (exchange !== this.#exchange) throw sluiceError('ERR_SLUICE_RESPONSE_SENT', 'The answer of ctx.sse() belongs to another request')
    for (const line of block.lines.split('\r\n')) refuseOwn(line.slice(0, Math.max(line.indexOf(':'), 0)))
    if (block.isTyped) refuseOwn('content-type')
    const { commands } = this.#sockets
    if (exchange.isHead) {
      exchange.host.commands.respond(exchange, 200 | (Template.NONE << TEMPLATE_SHIFT), `${block.lines}content-type: text/event-stream\r\ncache-control: no-store\r\n`, null)
      this.#finish()
      return undefined
    }
    exchange.keep()
    if (!commands.eventStream(exchange, block.lines, JSON.stringify(this.#options))) {
      this.#finish()
      return undefined
    }
    this.#sockets.expect(exchange, this)
    exchange.outgoing = this
    return new Promise((resolve) => {
      this.#done = resolve
    })
  }

  opened({ generation, handle, id, lane, next, slot }: ConnectionName): void {
    this.#exchange.outgoing = null
    this.lane = lane
    this.slot = slot
    this.generation = generation
    this.#id = id
    this.#handle = handle
    this.#next = next
    this.#sockets.add(this)
    if (this.#early !== '' && this.#sockets.commands.send(handle, this.#early, Opcode.TEXT | SendFlag.FIN) < 0) this.drainSignal.slow()
    this.#early = ''
    if (this.#isClosing) this.#sockets.commands.close(handle, 1000, '')
    this.#done()
  }

  /** The request is over. If it was answered with something else, nothing that is sent here reaches anybody. */
  settled(): void {
    if (this.#handle < 0) this.#finish()
  }

  lost(): void {
    this.#sockets.cancel(this.#exchange, this)
    this.#finish()
    this.#done()
  }

  drained(): void {
    // Of a streamed answer, which this is not.
  }

  message(): void {
    // What the client of an event stream sends is dropped by the core.
  }

  close({ words }: Lane, at: number): void {
    this.#next = (words[at + SocketWord.SEQUENCE]! + 1) | 0
    this.#finish()
  }

  drain(): void {
    // Also how a leaving worker, which gets no event of the end, learns of it.
    if (this.#isLingering && !this.#sockets.commands.isOpen(this.#handle)) this.#finish()
    else this.drainSignal.release()
  }

  high(): void {
    // Told by `send()`.
  }

  handover(): void {
    if (this.#hasTopics || this.#isClosing) {
      this.#finish()
      return
    }
    this.#isLingering = true
    this.#sockets.begin()
  }

  settle(): void {
    // Nothing runs here.
    if (this.#handle >= 0) this.#sockets.commands.settled(this.#handle, this.#next >>> 0)
  }

  abort(): void {
    if (this.#isLingering) this.end()
  }

  #finish(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#handle >= 0) {
      this.#sockets.forget(this)
      this.#sockets.commands.release(this.#handle, this.#next >>> 0)
      this.#handle = -1
    }
    if (this.#isLingering) this.#sockets.end()
    this.drainSignal.release()
    this.#resolve()
  }
}

function refuseOwn(name: string): void {
  if (OWN_FIELD.test(name)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Header ${JSON.stringify(name)} of an event stream is set by the server`)
}
