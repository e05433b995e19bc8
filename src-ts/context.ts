import { detach, type DetachedRequest } from './http/detached.ts'
import type { Exchange } from './http/exchange.ts'
import { type Form, type FormBounds, type FormReading, readForm } from './http/form.ts'
import { fieldOf, hostOf, isReleased, methodOf, schemeOf, urlOf } from './http/head.ts'
import { fileBody, type FileOptions } from './http/file-body.ts'
import type { RequestSummary } from './http/report.ts'
import { fileResponse, type SluiceResponse } from './http/response.ts'
import type { WorkerInfo } from './process/api.ts'
import type { Forwarded, Proxies } from './http/forwarded.ts'
import { tlsInfoOf, type TlsInfo, type TlsRecord } from './tls-info.ts'
import type { SseOptions, SseStream } from './websocket/event-stream.ts'
import type { UpgradeOptions } from './websocket/handlers.ts'

/** The connection a request came on, as the core knew it when `ctx.conn` was first asked for. Times are Unix milliseconds, sizes bytes. */
export interface ConnectionInfo {
  /** Never reused while the server lives; 0 when the client had left before it was asked for. */
  readonly id: number
  /** The name of the port. */
  readonly port: string
  /** '' on a unix socket. */
  readonly remoteAddress: string
  /** 0 on a unix socket. */
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly family: 4 | 6 | 'unix'
  readonly connectedAt: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Bytes received and not yet parsed. */
  readonly recvQueued: number
  /** Bytes not yet sent. */
  readonly sendQueued: number
  /** From the client to the last proxy before the peer, as peers say that are trusted (`proxy.trust`). */
  readonly forwardedFor?: readonly string[] | undefined
  /** What was negotiated, where the port speaks TLS. */
  readonly tls?: TlsInfo | undefined
}

/** What all contexts of one worker share. */
export interface ContextHost {
  /** The peers that speak for others on a port; null where there are none. */
  proxiesOf(port: number): Proxies | null
  /** Where relative paths of files start. */
  readonly root: string
  readonly worker: WorkerInfo
  /** A request id that no other request of this server has. */
  nextId(): string
  /** Keeps the worker alive until `promise` settles; its error is reported as of `phase`. */
  waitUntil(promise: PromiseLike<unknown>, context: Context, phase: 'waitUntil' | 'after'): void
  upgrade(exchange: Exchange, context: Context, options: UpgradeOptions | undefined): SluiceResponse
  sse(exchange: Exchange, context: Context, options: SseOptions | undefined): SseStream
  /** Bounds of forms that the core does not read. */
  readonly formBounds: FormBounds
}

/** A request id from the client is taken over if it cannot be mistaken for anything else in a log. */
const CLIENT_ID = /^[\w-]{1,64}$/

/** What `ctx.conn` says of a client that had left before anybody asked. */
const GONE: ConnectionInfo = Object.freeze({
  id: 0, port: '', remoteAddress: '', remotePort: 0, localAddress: '', localPort: 0, family: 4,
  connectedAt: 0, bytesIn: 0, bytesOut: 0, recvQueued: 0, sendQueued: 0,
})

/** The functions that `ctx.after` was given, in order. */
export let afterOf: (context: Context) => readonly (() => unknown)[] | null
/** What a report says of the request. */
export let summaryOf: (context: Context) => RequestSummary
/** The form that was read, or is. */
export let formOf: (context: Context) => FormReading | null

/** The second argument of every handler: the request's surroundings. Everything in it is made when it is asked for. */
export class Context {
  readonly #exchange: Exchange
  readonly #host: ContextHost
  #id: string | null = null
  #conn: ConnectionInfo | null = null
  /** What proxies say of the client; undefined before they were asked. */
  #forwarded: Forwarded | null | undefined
  #url: URL | null = null
  #locals: Record<string | symbol, unknown> | null = null
  #after: (() => unknown)[] | null = null
  #form: FormReading | null = null

  constructor(exchange: Exchange, host: ContextHost) {
    this.#exchange = exchange
    this.#host = host
  }

  static {
    afterOf = (context) => context.#after
    summaryOf = (context) => context.#summary()
    formOf = (context) => context.#form
  }

  /** The request id, also in error answers and reports: `x-request-id` of the client if it is 1–64 letters, digits, `_`, `-`; else a new one. */
  get id(): string {
    if (this.#id === null) {
      const sent = fieldOf(this.#exchange, 'x-request-id')
      this.#id = sent !== null && CLIENT_ID.test(sent) ? sent : this.#host.nextId()
    }
    return this.#id
  }

  /** The connection, as it was when first asked for; of a client that has left, every field is empty. */
  get conn(): ConnectionInfo {
    if (this.#conn === null) {
      const conn = connectionOf(this.#exchange)
      this.#forwarded = this.#host.proxiesOf(this.#exchange.port)?.read((name) => fieldOf(this.#exchange, name), conn) ?? null
      this.#conn = this.#forwarded === null ? conn : { ...conn, forwardedFor: this.#forwarded.chain }
    }
    return this.#conn
  }

  /** The client's address, as the peer says if it is a proxy that is trusted; '' on a unix socket. */
  get ip(): string {
    return this.#client()?.ip ?? this.conn.remoteAddress
  }

  /** The client's port; 0 when a proxy does not tell. */
  get port(): number {
    const client = this.#client()
    return client?.ip === undefined ? this.conn.remotePort : client.port
  }

  /** What the client speaks, as the peer says if it is a proxy that is trusted. */
  get scheme(): 'http' | 'https' {
    return this.#client()?.scheme ?? schemeOf(this.#exchange)
  }

  /** Host and port the client asked for, as sent, or as a proxy says that is trusted; '' when it named none (HTTP/1.0). */
  get host(): string {
    return this.#client()?.host ?? hostOf(this.#exchange)
  }

  /** `req.url`, parsed and normalised. @throws TypeError for a target that is no URL */
  get url(): URL {
    return (this.#url ??= new URL(urlOf(this.#exchange)))
  }

  /** Unix milliseconds when the worker got the request (its batch: up to about 1 ms early). */
  get receivedAt(): number {
    return Math.round(performance.timeOrigin + this.#exchange.receivedAt)
  }

  /** The version of the running code, `-x` or `reload({ version })`. */
  get version(): string | undefined {
    return this.#host.worker.version
  }

  get worker(): WorkerInfo {
    return this.#host.worker
  }

  /** Aborts when the client leaves, when the answer's deadline passes, and when the worker stops. The same as `req.signal`. */
  get signal(): AbortSignal {
    return this.#exchange.signal
  }

  /** Anything hooks and handlers want to tell each other about this request. */
  get locals(): Record<string | symbol, unknown> {
    return (this.#locals ??= Object.create(null) as Record<string | symbol, unknown>)
  }

  /** Keeps the worker alive until `promise` settles, across a reload and up to `maxWaitTime`. A rejection is reported. */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.#exchange.keep()
    this.#host.waitUntil(promise, this, 'waitUntil')
  }

  /**
   * Declares that this request may be run a second time, whatever its method: if the worker dies before the answer has
   * begun, another worker gets it, once. GET, HEAD and OPTIONS need no declaration. The worker that dies in this very
   * handler call takes the request with it all the same, since running it again could kill the next one.
   */
  idempotent(): void {
    this.#exchange.host.commands.markIdempotent(this.#exchange)
  }

  /**
   * The answer that makes the request's connection a WebSocket, to be returned from `fetch`. On a request that is no handshake it
   * is a refusal: 426, or 400 for a handshake that breaks the rules.
   *
   * @throws ERR_SLUICE_INVALID_STATE when the app has no `websocket` handlers
   * @throws TypeError ERR_SLUICE_INVALID_ARG for a subprotocol that the client did not offer, a state that cannot be cloned, and fields that are the handshake's own
   * @throws RangeError ERR_SLUICE_STATE_TOO_LARGE
   */
  upgrade<D = unknown, S = unknown>(options?: UpgradeOptions<D, S>): Response {
    return this.#host.upgrade(this.#exchange, this, options) as unknown as Response
  }

  /** A stream of server-sent events; return its `response` from `fetch`. @throws TypeError ERR_SLUICE_INVALID_ARG for options that cannot be used */
  sse(options?: SseOptions): SseStream {
    return this.#host.sse(this.#exchange, this, options)
  }

  /**
   * The form in the request's body, `multipart/form-data` or `application/x-www-form-urlencoded`: its fields, and its files, which the core
   * has written to disk as they came in. The files are removed when the request is over, after the functions of {@link after}. Always
   * the same form.
   *
   * Rejects with ERR_SLUICE_BODY_TYPE for another body, ERR_SLUICE_BODY_MALFORMED, and RangeError ERR_SLUICE_BODY_TOO_LARGE beyond the
   * bounds of `uploads`, answered with 415, 400 and 413 when nobody catches them; TypeError when the body was read before.
   */
  async form(): Promise<Form> {
    if (this.#form === null) {
      this.#exchange.keep()
      this.#form = readForm(this.#exchange, this.#host.formBounds)
    }
    return this.#form.form
  }

  /**
   * An answer with a file, which the core sends: whole or in the ranges that the request asks for, or 304 if the client has it. `path` is
   * relative to the configuration's `root`, and trusted: nothing keeps it inside. The file is opened when the answer is sent; where that
   * fails, `app.error` gets ERR_SLUICE_FILE, and without it the client 404, or 500 for other reasons than that there is no such file.
   *
   * @throws TypeError ERR_SLUICE_INVALID_ARG for a path that no file can have, and for options that cannot be used
   */
  file(path: string, options?: FileOptions): Response {
    const { body, fields } = fileBody(this.#host.root, path, options)
    return fileResponse(body, fields) as unknown as Response
  }

  /**
   * Lets go of the request, to be answered with `server.respond()` by whichever worker has its answer, or by this one later. The
   * handler returns nothing then. The time limit of the answer goes on; a reload or the end of this worker does not concern the request any
   * more. Read its body before: what was not read is dropped. Its `signal` tells nothing any more.
   *
   * @throws ERR_SLUICE_INVALID_STATE when its answer has begun
   */
  detach(): DetachedRequest {
    return detach(this.#exchange)
  }

  /** Calls `fn` after the response was sent, also when sending failed, and soon if that is over. In order, one after the other; an error is reported. */
  after(fn: () => unknown): void {
    if (this.#exchange.isClosed) {
      this.#host.waitUntil(new Promise((resolve) => setImmediate(resolve)).then(fn), this, 'after')
      return
    }
    this.#exchange.keep()
    this.#after ??= []
    this.#after.push(fn)
  }

  /** What proxies say. Costs nothing on a port without them. */
  #client(): Forwarded | null {
    if (this.#forwarded === undefined) {
      if (this.#host.proxiesOf(this.#exchange.port) === null) this.#forwarded = null
      else void this.conn
    }
    return this.#forwarded ?? null
  }

  /** Of a request that can no longer be read, what is known without it: a report must not fail. */
  #summary(): RequestSummary {
    if (!isReleased(this.#exchange)) return { id: this.id, method: methodOf(this.#exchange), url: urlOf(this.#exchange) }
    this.#id ??= this.#host.nextId()
    return { id: this.#id, method: '', url: '' }
  }
}

function connectionOf(exchange: Exchange): ConnectionInfo {
  const json = exchange.host.commands.connectionInfo(exchange)
  if (json === null) return GONE
  // Written by our own core, on this machine, a moment ago.
  const info = JSON.parse(json) as Omit<ConnectionInfo, 'family' | 'tls'> & { family: string; tls?: TlsRecord }
  return { ...info, tls: tlsInfoOf(info.tls), family: info.family === 'unix' ? 'unix' : info.family === '6' ? 6 : 4 }
}
