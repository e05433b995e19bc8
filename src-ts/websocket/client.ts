import { inspect } from 'node:util'
import { sluiceError, sluiceRangeError, sluiceTypeError } from '../errors.ts'
import { Backoff } from './client-backoff.ts'
import {
  HandlerAttributes,
  WebSocketCloseEvent,
  WebSocketErrorEvent,
  WebSocketMessageEvent,
  WebSocketReconnectingEvent,
  type Listener,
  type ListenerOptions,
  type ListenerRemoval,
  type WebSocketClientEvents,
} from './client-events.ts'
import { SendFlow } from './client-flow.ts'
import { Inbox, refuseSecondConsumer, type Message } from './client-inbox.ts'
import { connectionError, failure, mayPass, type Loss } from './client-loss.ts'
import { binaryTypes, parseClientOptions, type BinaryType, type ClientSettings, type WebSocketClientOptions } from './client-options.ts'
import { Resumption } from './client-resumption.ts'
import { PendingPings } from './client-pings.ts'
import { ClientSocket, type SocketEvents } from './client-socket.ts'

const CONNECTING = 0
const OPEN = 1
const CLOSING = 2
const CLOSED = 3

type EventHandler<K extends keyof WebSocketClientEvents> = ((event: WebSocketClientEvents[K]) => void) | null
type ReadyState = typeof CONNECTING | typeof OPEN | typeof CLOSING | typeof CLOSED
/** What can be sent as a message. */
export type WebSocketData = string | ArrayBuffer | ArrayBufferView | Blob

/** The bodies of a ping and of a close frame, RFC 6455 5.5; a close frame also holds its code. */
const PING_BYTES_MAX = 125
const REASON_BYTES_MAX = 123

/**
 * A WebSocket client: the interface of the standard (https://websockets.spec.whatwg.org) on every Node.js, and what servers and tests
 * need beside it: header fields, pings, back-pressure both ways, reconnecting, and `for await`.
 *
 * It connects at once. `error` and `close` come at the end of the client, not of each connection: while it reconnects, `readyState` is
 * CONNECTING and `reconnecting` says why. A message that was accepted but not yet written when a connection breaks is lost with it.
 */
export class WebSocketClient extends EventTarget implements AsyncIterable<Message>, AsyncDisposable {
  static readonly CONNECTING = CONNECTING
  static readonly OPEN = OPEN
  static readonly CLOSING = CLOSING
  static readonly CLOSED = CLOSED
  readonly CONNECTING = CONNECTING
  readonly OPEN = OPEN
  readonly CLOSING = CLOSING
  readonly CLOSED = CLOSED

  readonly #settings: ClientSettings
  readonly #resumption = new Resumption()
  readonly #attributes: HandlerAttributes = new HandlerAttributes(this)
  readonly #pings = new PendingPings()
  readonly #flow: SendFlow
  readonly #backoff: Backoff | null
  readonly #ended: Promise<void>
  #resolveEnded: () => void = () => {}
  #phase: 'connecting' | 'open' | 'closing' | 'closed' = 'connecting'
  #socket: ClientSocket
  #timer: NodeJS.Timeout | undefined
  #inbox: Inbox | null = null
  #binaryType: BinaryType
  #protocol = ''
  #extensions = ''
  /** How the client ended, for an iterator that comes late. */
  #error: Error | null = null

  /**
   * @param url absolute: `ws:`, `wss:`, also as `http:`, `https:`, or `ws+unix:/path/of.sock:/target`
   * @param options subprotocols as in the standard, or an object
   * @throws TypeError ERR_SLUICE_INVALID_ARG for the URL or a subprotocol, ERR_SLUICE_INVALID_OPTION for an option
   */
  constructor(url: string | URL, options: string | readonly string[] | WebSocketClientOptions = {}) {
    super()
    this.#settings = parseClientOptions(url, options)
    this.#binaryType = this.#settings.binaryType
    this.#flow = new SendFlow(this.#settings)
    this.#backoff = this.#settings.reconnect === null ? null : new Backoff(this.#settings.reconnect)
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#socket = new ClientSocket(this.#settings, this.#resumption, this.#socketEvents)
    const { signal } = this.#settings
    if (signal?.aborted) {
      this.#giveUp(signal.reason)
    } else {
      signal?.addEventListener('abort', this.#onAbort, { once: true })
      this.#socket.start()
    }
  }

  /** CONNECTING also while it waits to reconnect; CLOSING from the first close frame, of either side. */
  get readyState(): ReadyState {
    switch (this.#phase) {
      case 'connecting':
        return CONNECTING
      case 'open':
        return this.#socket.isOpen ? OPEN : CLOSING
      case 'closing':
        return CLOSING
      case 'closed':
        return CLOSED
    }
  }

  /** Whether the open connection goes on where the one before it broke, at a server that lets it: nothing was missed, nothing came twice. */
  get resumed(): boolean {
    return this.#resumption.isResumed
  }

  /** The URL it connects to, with the scheme of a WebSocket. */
  get url(): string {
    return this.#settings.url.href
  }

  /** The subprotocol the server chose; '' without one and before `open`. */
  get protocol(): string {
    return this.#protocol
  }

  /** The extensions in use: 'permessage-deflate' or ''. */
  get extensions(): string {
    return this.#extensions
  }

  /** Bytes that wait to be written to the socket, framing included. 0 while there is no connection. */
  get bufferedAmount(): number {
    return this.#phase === 'open' || this.#phase === 'closing' ? this.#socket.bufferedAmount : 0
  }

  /** What the `data` of binary `message` events is from now on. Unknown values are ignored, as in the standard. @default 'blob' */
  get binaryType(): BinaryType {
    return this.#binaryType
  }

  set binaryType(type: BinaryType) {
    if (binaryTypes.includes(type)) this.#binaryType = type
  }

  /**
   * Sends a message: a string as text, everything else as binary. The data is taken as it is now.
   *
   * @returns the bytes of the message (1 for an empty one) when it was accepted; -1 when it was accepted, but more than `highWaterMark`
   *   waits: `drain` follows; 0 when it was not sent, because the client is not open or because `sendBuffer` would be passed, as it
   *   always is by a message larger than that
   * @throws TypeError ERR_SLUICE_INVALID_ARG for data of another type
   */
  send(data: WebSocketData): number {
    const message = messageOf(data)
    if (this.readyState !== OPEN) return 0
    const bytes = sizeOf(message)
    if (!this.#flow.accepts(bytes, this.#socket.bufferedAmount)) return 0
    this.#socket.send(message)
    return this.#flow.isSlow(this.#socket.bufferedAmount) ? -1 : Math.max(1, bytes)
  }

  /**
   * Waits until sending makes sense: at once unless `send()` has returned -1 or 0 since the last `drain`; across a reconnect. Never
   * in the same turn of the event loop, so that a loop around it cannot keep the process from everything else.
   *
   * @throws the reason of `signal`; SluiceError ERR_SLUICE_INVALID_STATE when the client ends
   */
  async drained(signal?: AbortSignal): Promise<void> {
    if (this.#phase === 'closing' || this.#phase === 'closed') throw connectionError('The client is closed', this.#error ?? undefined)
    if (this.readyState !== OPEN || this.#flow.isHeld) return this.#flow.released(signal)
    signal?.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }

  /**
   * Sends a ping and waits for its pong.
   *
   * @param data up to 125 bytes; without it a number that no other ping of this client has
   * @returns the round trip in milliseconds. A server may answer only the last of several pings: that settles the earlier ones too
   * @throws RangeError ERR_SLUICE_INVALID_ARG for more than 125 bytes; ERR_SLUICE_INVALID_STATE when the client is not open, when the
   *   connection ends before the answer, or when 1024 pings are without one; the reason of `signal`
   */
  async ping(data?: string | ArrayBuffer | ArrayBufferView, signal?: AbortSignal): Promise<number> {
    const payload = data === undefined ? this.#pings.nextPayload() : pingPayload(data)
    if (this.readyState !== OPEN) throw sluiceError('ERR_SLUICE_INVALID_STATE', 'A ping needs a client that is open')
    return this.#pings.add(payload, () => this.#socket.ping(payload), signal)
  }

  /**
   * Ends the client with the closing handshake, for good: it does not reconnect. What was sent before goes out first; what still comes
   * in is dropped. Before `open` it gives up: `error` and `close` with 1006. A second call does nothing.
   *
   * @param code 1000, or 3000 to 4999 for the application's own; without one the server sees 1005
   * @param reason up to 123 bytes of UTF-8
   * @throws RangeError ERR_SLUICE_INVALID_ARG for another code or a longer reason
   */
  close(code?: number, reason = ''): void {
    if (code !== undefined && code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999)) {
      throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `A close code must be 1000 or from 3000 to 4999, got ${inspect(code)}`)
    }
    const bytes = Buffer.byteLength(reason)
    if (bytes > REASON_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `A close reason must be at most ${REASON_BYTES_MAX} bytes, got ${bytes}`)
    this.#close(reason === '' ? code : (code ?? 1000), reason)
  }

  /** Ends the client at once, without the closing handshake, for good: `close` with 1006. */
  terminate(): void {
    if (this.#phase === 'connecting') {
      this.#giveUp()
    } else if (this.#phase !== 'closed') {
      this.#beginClosing()
      this.#socket.terminate()
    }
  }

  /** `close(1000)`, and waits for the end; no longer than `closeTimeout`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#close(1000, '')
    await this.#ended
  }

  /**
   * The messages from now on, text as a string and binary as `Uint8Array`, across reconnects; one consumer at a time. While more than
   * `readAhead` waits, the socket is not read: the server is slowed down, and its pings wait too. The iteration ends after a closing handshake of either
   * side and throws when the connection failed. Leaving the loop drops what waits and leaves the client open.
   *
   * @throws SluiceError ERR_SLUICE_INVALID_STATE when there is a consumer already
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    if (this.#inbox !== null) refuseSecondConsumer()
    const inbox = new Inbox(this.#settings.readAhead, {
      readMore: () => this.#socket.resume(),
      left: () => {
        if (this.#inbox !== inbox) return
        this.#inbox = null
        this.#socket.resume()
      },
    })
    if (this.#phase === 'closing' || this.#phase === 'closed') inbox.end(this.#error)
    else this.#inbox = inbox
    return inbox
  }

  override addEventListener<K extends keyof WebSocketClientEvents>(type: K, listener: (event: WebSocketClientEvents[K]) => void, options?: ListenerOptions): void
  override addEventListener(type: string, listener: Listener, options?: ListenerOptions): void
  override addEventListener(type: string, listener: unknown, options?: ListenerOptions): void {
    super.addEventListener(type, listener as Listener, options)
  }

  override removeEventListener<K extends keyof WebSocketClientEvents>(type: K, listener: (event: WebSocketClientEvents[K]) => void, options?: ListenerRemoval): void
  override removeEventListener(type: string, listener: Listener, options?: ListenerRemoval): void
  override removeEventListener(type: string, listener: unknown, options?: ListenerRemoval): void {
    super.removeEventListener(type, listener as Listener, options)
  }

  get onopen(): EventHandler<'open'> {
    return this.#attributes.read('open')
  }

  set onopen(handler: EventHandler<'open'>) {
    this.#attributes.write('open', handler)
  }

  get onmessage(): EventHandler<'message'> {
    return this.#attributes.read('message')
  }

  set onmessage(handler: EventHandler<'message'>) {
    this.#attributes.write('message', handler)
  }

  get onerror(): EventHandler<'error'> {
    return this.#attributes.read('error')
  }

  set onerror(handler: EventHandler<'error'>) {
    this.#attributes.write('error', handler)
  }

  get onclose(): EventHandler<'close'> {
    return this.#attributes.read('close')
  }

  set onclose(handler: EventHandler<'close'>) {
    this.#attributes.write('close', handler)
  }

  get #socketEvents(): SocketEvents {
    return {
      opened: () => this.#opened(),
      message: (data, bytes) => this.#received(data, bytes),
      pong: (payload) => this.#pings.answered(payload),
      written: () => {
        if (this.#flow.written(this.#socket.bufferedAmount)) this.dispatchEvent(new Event('drain'))
      },
      lost: (loss) => this.#lost(loss),
    }
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#settings.signal?.reason
    if (this.#phase === 'connecting') this.#giveUp(reason)
    // The code of a browser that leaves the page: this side is going away, whatever the application had to say.
    else this.#close(1001, '')
  }

  #opened(): void {
    this.#phase = 'open'
    this.#protocol = this.#socket.protocol
    this.#extensions = this.#socket.extensions
    this.#backoff?.opened(performance.now())
    if (this.#inbox?.isFull) this.#socket.pause()
    this.#flow.release()
    this.dispatchEvent(new Event('open'))
  }

  #received(data: string | Buffer, bytes: number): void {
    if (this.#phase !== 'open') return
    if (this.#inbox !== null) {
      this.#inbox.push(data, bytes)
      if (this.#inbox.isFull) this.#socket.pause()
    }
    this.dispatchEvent(new WebSocketMessageEvent(data, this.#binaryType, this.#settings.url.origin))
  }

  #lost(loss: Loss): void {
    const wasClosing = this.#phase === 'closing'
    this.#pings.fail(connectionError('The connection ended before the pong', loss.error))
    const retry = !wasClosing && mayPass(loss) ? this.#backoff?.next(performance.now(), loss.retryAfter) : undefined
    if (!retry) {
      // Cutting the connection ourselves, or a server that is slow to say goodbye, is not an error of anybody.
      this.#finish(wasClosing ? { ...loss, error: undefined } : loss)
      return
    }
    this.#phase = 'connecting'
    this.#timer = setTimeout(() => {
      this.#socket = new ClientSocket(this.#settings, this.#resumption, this.#socketEvents)
      this.#socket.start()
    }, retry.delay)
    this.dispatchEvent(new WebSocketReconnectingEvent({ ...retry, code: loss.code, reason: loss.reason, error: loss.error }))
  }

  #close(code: number | undefined, reason: string): void {
    if (this.#phase === 'connecting') {
      this.#giveUp()
    } else if (this.#phase === 'open') {
      this.#beginClosing()
      this.#socket.close(code, reason)
    }
  }

  /** From an open connection. What waits for the iterator stays for it; the socket must be read, or the server's close frame is not seen. */
  #beginClosing(): void {
    this.#phase = 'closing'
    this.#endInbox(null)
    this.#socket.resume()
  }

  /** Before `open`, or between two connections. The events come later, as they would from the network. */
  #giveUp(cause?: unknown): void {
    this.#phase = 'closing'
    clearTimeout(this.#timer)
    this.#socket.abandon()
    this.#endInbox(null)
    setImmediate(() => this.#finish(failure(connectionError('The client was closed before the connection was established', cause))))
  }

  #finish(loss: Loss): void {
    this.#phase = 'closed'
    this.#error = loss.error ?? null
    this.#settings.signal?.removeEventListener('abort', this.#onAbort)
    this.#flow.fail(connectionError('The client is closed', loss.error))
    this.#endInbox(this.#error)
    this.#resolveEnded()
    if (loss.error !== undefined) this.dispatchEvent(new WebSocketErrorEvent(loss.error, loss.status))
    this.dispatchEvent(new WebSocketCloseEvent(loss))
  }

  #endInbox(error: Error | null): void {
    this.#inbox?.end(error)
    this.#inbox = null
  }
}

/** Bytes as a `Buffer` over the same memory. */
function messageOf(data: WebSocketData): string | Buffer | Blob {
  if (typeof data === 'string' || data instanceof Blob) return data
  if (data instanceof ArrayBuffer) return Buffer.from(data)
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A message must be a string, an ArrayBuffer, a view of one or a Blob, got ${inspect(data, { depth: 0 })}`)
}

function sizeOf(message: string | Buffer | Blob): number {
  if (typeof message === 'string') return Buffer.byteLength(message)
  return message instanceof Blob ? message.size : message.length
}

/** A copy: it is compared with the pong, whatever happens to the caller's memory. */
function pingPayload(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  const message = messageOf(data)
  if (message instanceof Blob) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'The data of a ping must be a string or bytes, got a Blob')
  const payload = Buffer.from(message)
  if (payload.length > PING_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `The data of a ping must be at most ${PING_BYTES_MAX} bytes, got ${payload.length}`)
  return payload
}
