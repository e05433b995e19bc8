import type { ClientOptions, WebSocket } from 'ws'
import { connectionError, failure, retryAfterOf, type Loss } from './client-loss.ts'
import type { ClientSettings } from './client-options.ts'
import type { Resumption } from './client-resumption.ts'

/** What one connection tells its client. Nothing comes after `lost()`. */
export interface SocketEvents {
  opened(): void
  /** Text as a string. `bytes` is its size on the wire, decompressed. */
  message(data: string | Buffer, bytes: number): void
  pong(payload: Buffer): void
  /** Some of the bytes that waited have been written. */
  written(): void
  /** The end, exactly once. */
  lost(loss: Loss): void
}

/**
 * One connection of a client over the package `ws`, which does the protocol (RFC 6455, RFC 7692). The package is loaded by the first
 * connection of the process: programs without a client do not pay for it.
 */
export class ClientSocket {
  readonly #settings: ClientSettings
  readonly #events: SocketEvents
  readonly #resumption: Resumption
  #ws: WebSocket | null = null
  #handshakeTimer: NodeJS.Timeout | undefined
  /** The first error is the cause; what follows are its consequences. */
  #cause: unknown
  #refusal: { readonly status: number; readonly retryAfter: number } | null = null
  #wasAnswered = false
  #wasOpen = false
  #hasEnded = false
  /** Blobs are read in the background, and what is sent meanwhile waits behind them without a copy of its own. */
  #blobs = 0

  constructor(settings: ClientSettings, resumption: Resumption, events: SocketEvents) {
    this.#settings = settings
    this.#resumption = resumption
    this.#events = events
  }

  /** Connects. Whatever happens is told to `events`, and nothing before this returns. */
  start(): void {
    const { handshakeTimeout } = this.#settings
    this.#handshakeTimer = setTimeout(() => this.#giveUp(new Error(`The handshake took longer than ${handshakeTimeout} ms`)), handshakeTimeout)
    import('ws').then(
      (ws) => this.#connect(ws.WebSocket),
      (error: unknown) => this.#end(failure(connectionError('The WebSocket protocol could not be loaded', error), { isMismatch: true })),
    )
  }

  /** Whether messages can be sent: open, and no closing handshake has begun. */
  get isOpen(): boolean {
    return this.#ws?.readyState === 1
  }

  get protocol(): string {
    return this.#ws?.protocol ?? ''
  }

  get extensions(): string {
    return this.#ws?.extensions ?? ''
  }

  /** Bytes that wait to be written, framing and pongs included. */
  get bufferedAmount(): number {
    return this.#ws?.bufferedAmount ?? 0
  }

  /** Sends a message. The caller has checked `isOpen` and keeps the buffer bounded. */
  send(data: string | Buffer | Blob): void {
    const mustCopy = Buffer.isBuffer(data) && (this.#blobs > 0 || this.extensions !== '')
    const isBlob = data instanceof Blob
    if (isBlob) this.#blobs += 1
    this.#ws?.send(mustCopy ? Buffer.from(data) : data, { binary: typeof data !== 'string' }, isBlob ? this.#onBlobWritten : this.#onWritten)
  }

  ping(payload: Buffer): void {
    this.#ws?.ping(payload, true, this.#onWritten)
  }

  /** Reads no further; what the last read has brought is still told. */
  pause(): void {
    this.#ws?.pause()
  }

  resume(): void {
    this.#ws?.resume()
  }

  /** Starts the closing handshake, bounded by `closeTimeout`. The caller has checked code and reason. */
  close(code: number | undefined, reason: string): void {
    this.#ws?.close(code, reason)
  }

  /** Cuts the connection; `lost()` follows. */
  terminate(): void {
    this.#ws?.terminate()
  }

  /** Cuts the connection and tells nothing more. For one that is not open yet. */
  abandon(): void {
    this.#hasEnded = true
    clearTimeout(this.#handshakeTimer)
    this.#ws?.terminate()
  }

  #connect(Socket: typeof WebSocket): void {
    if (this.#hasEnded) return
    const { url, protocols, headers, tls, perMessageDeflate, maxPayload, closeTimeout } = this.#settings
    const { ca, cert, key, ...others } = tls
    const options: ClientOptions & { readonly closeTimeout: number } = {
      ...others,
      ...(ca !== undefined && { ca: pem(ca) }),
      ...(cert !== undefined && { cert: pem(cert) }),
      ...(key !== undefined && { key: pem(key) }),
      headers: { ...headers },
      maxPayload,
      closeTimeout,
      perMessageDeflate: perMessageDeflate && { clientNoContextTakeover: true, serverNoContextTakeover: true },
      // Answered below, so that the pongs a server does not read are bounded like everything else that waits.
      autoPong: false,
    }
    let ws: WebSocket
    try {
      ws = new Socket(this.#resumption.urlFor(url), [...protocols], options)
    } catch (error) {
      this.#end(failure(connectionError(`Cannot connect to ${url.href}`, error), { isMismatch: true }))
      return
    }
    this.#ws = ws
    ws.on('upgrade', ({ headers }) => {
      this.#wasAnswered = true
      this.#resumption.answered(headers)
    })
    ws.on('unexpected-response', (_request, { statusCode = 0, headers }) => {
      this.#refusal = { status: statusCode, retryAfter: retryAfterOf(headers['retry-after']) }
      this.#giveUp(new Error(`The server answered ${statusCode} to the handshake`))
    })
    ws.on('open', () => {
      clearTimeout(this.#handshakeTimer)
      this.#wasOpen = true
      if (!this.#hasEnded) this.#events.opened()
    })
    ws.on('message', (data, isBinary) => {
      // The default of `binaryType` in `ws`: one Buffer per message.
      const bytes = data as Buffer
      this.#resumption.count()
      if (!this.#hasEnded) this.#events.message(isBinary ? bytes : bytes.toString(), bytes.length)
    })
    ws.on('ping', (payload) => {
      if (this.isOpen && ws.bufferedAmount < this.#settings.sendBuffer) ws.pong(payload, true, this.#onWritten)
    })
    ws.on('pong', (payload) => {
      if (!this.#hasEnded) this.#events.pong(payload)
    })
    ws.on('error', (error) => {
      this.#cause ??= error
    })
    ws.on('close', (code, reason) => this.#end(this.#lossOf(code, reason.toString())))
  }

  readonly #onWritten = (): void => {
    if (!this.#hasEnded) this.#events.written()
  }

  readonly #onBlobWritten = (): void => {
    this.#blobs -= 1
    this.#onWritten()
  }

  #giveUp(cause: Error): void {
    this.#cause ??= cause
    if (this.#ws === null) this.#end(this.#lossOf(1006, ''))
    else this.#ws.terminate()
  }

  #lossOf(code: number, reason: string): Loss {
    const { href } = this.#settings.url
    const wasClean = code !== 1006
    if (!this.#wasOpen) {
      const error = connectionError(`Cannot connect to ${href}: ${textOf(this.#cause)}`, this.#cause)
      return failure(error, { status: this.#refusal?.status, retryAfter: this.#refusal?.retryAfter ?? 0, isMismatch: this.#wasAnswered })
    }
    if (wasClean && this.#cause === undefined) return { code, reason, wasClean, error: undefined, status: undefined, retryAfter: 0, isMismatch: false }
    const error = connectionError(`The connection to ${href} was lost: ${this.#cause === undefined ? 'it ended without a closing handshake' : textOf(this.#cause)}`, this.#cause)
    return failure(error, { code, reason, wasClean })
  }

  #end(loss: Loss): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    clearTimeout(this.#handshakeTimer)
    this.#events.lost(loss)
  }
}

/** `ws` takes text and `Buffer`. */
function pem(given: string | Uint8Array): string | Buffer {
  return typeof given === 'string' ? given : Buffer.from(given)
}

/** System errors of several addresses (`AggregateError`) have an empty message. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(textOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}
