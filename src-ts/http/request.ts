import { inspect, type InspectOptions } from 'node:util'
import type { Exchange } from './exchange.ts'
import { fieldOf, methodOf, urlOf } from './head.ts'
import { nativeClasses, whenNativeClassesLoad } from './native-classes.ts'
import { RequestBody } from './request-body.ts'
import { RequestHeaders } from './request-headers.ts'

/**
 * Fields that belong to the connection the request came on. A `Request` made from this one goes another way, and Node's
 * `fetch` refuses some of them.
 */
const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'expect']

/** Makes Node's own `Request` from ours, which takes over the body; `new Request(req)` and `fetch(req)` do it. */
export let toNativeRequest: (request: SluiceRequest) => Request
export let isSluiceRequest: (value: unknown) => value is SluiceRequest

/**
 * A received request. It is a `Request` (`instanceof` included) that decodes nothing before it is asked for.
 *
 * Readable as long as the handler runs, and beyond: whatever a handler that returned a promise, or called `ctx.after()`
 * or `ctx.waitUntil()`, has in hand stays readable. After a handler that answered synchronously without any of these,
 * what was not read before throws ERR_SLUICE_INVALID_STATE.
 */
export class SluiceRequest {
  readonly #exchange: Exchange
  #url: string | null = null
  #headers: RequestHeaders | null = null
  #body: RequestBody | null = null

  // What the standard says the same of every request a server receives; see CONSTANTS.
  declare readonly cache: Request['cache']
  declare readonly credentials: Request['credentials']
  declare readonly destination: Request['destination']
  declare readonly integrity: Request['integrity']
  declare readonly keepalive: Request['keepalive']
  declare readonly mode: Request['mode']
  declare readonly redirect: Request['redirect']
  declare readonly referrer: Request['referrer']
  declare readonly referrerPolicy: Request['referrerPolicy']

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  static {
    isSluiceRequest = (value): value is SluiceRequest => typeof value === 'object' && value !== null && #exchange in value
    toNativeRequest = (request) => request.#toNative()
  }

  get method(): string {
    return methodOf(this.#exchange)
  }

  /**
   * The absolute URL: scheme, `Host` (or the authority of an absolute target) and target as sent. Not normalised:
   * `new URL(req.url)` does that. `OPTIONS *` has the path `/*`.
   */
  get url(): string {
    return (this.#url ??= urlOf(this.#exchange))
  }

  /** The fields. A change stays in this object; going through all of them costs about 1 µs for 8. */
  get headers(): Headers {
    return (this.#headers ??= this.#fields()) as unknown as Headers
  }

  /** The value of one field, or null; the same as `headers.get(name)` without making a `Headers`. Not in the standard. */
  header(name: string): string | null {
    if (this.#headers === null && this.#exchange.bodyCoding === null) return fieldOf(this.#exchange, name)
    return this.headers.get(name)
  }

  /** Aborts when the client leaves, when the answer's deadline passes, and when the worker stops. */
  get signal(): AbortSignal {
    return this.#exchange.signal
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#payload().stream()
  }

  get bodyUsed(): boolean {
    return this.#body === null ? this.#exchange.formBody !== null : this.#body.isUsed
  }

  /** Rejects with ERR_SLUICE_BODY_TOO_LARGE beyond `limits.bodyBytes`, as all that read the body whole. */
  text(): Promise<string> {
    return this.#payload().text()
  }

  json(): Promise<unknown> {
    return this.#payload().json()
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#payload().arrayBuffer()
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#payload().bytes()
  }

  blob(): Promise<Blob> {
    return this.#payload().blob()
  }

  formData(): Promise<FormData> {
    return this.#payload().formData()
  }

  /** A second request with the same body. @throws TypeError when the body was read */
  clone(): SluiceRequest {
    const clone = new SluiceRequest(this.#exchange)
    clone.#body = this.#payload().tee()
    if (this.#headers !== null) clone.#headers = this.#headers.copy()
    return clone
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `Request ${inspect({ method: this.method, url: this.url, headers: Object.fromEntries(this.headers) }, options)}`
  }

  #fields(): RequestHeaders {
    const fields = new RequestHeaders(this.#exchange)
    if (this.#exchange.bodyCoding !== null) {
      // They are not those of the body that can be read.
      fields.delete('content-encoding')
      fields.delete('content-length')
    }
    return fields
  }

  #payload(): RequestBody {
    return (this.#body ??= new RequestBody(this.#exchange))
  }

  #toNative(): Request {
    const { Headers, Request } = nativeClasses()
    const headers = new Headers(this.headers)
    for (const name of HOP_BY_HOP) headers.delete(name)
    const init: RequestInit & { duplex: 'half' } = { method: this.method, headers, signal: this.signal, duplex: 'half' }
    // The standard knows no body for these two; a body that came is left unread.
    if (this.method !== 'GET' && this.method !== 'HEAD') init.body = this.#payload().transfer()
    return new Request(this.url, init)
  }
}

/** What the standard says of every request that a server receives. */
const CONSTANTS: Readonly<Record<string, string | boolean>> = {
  cache: 'default',
  credentials: 'same-origin',
  destination: '',
  duplex: 'half',
  integrity: '',
  isHistoryNavigation: false,
  isReloadNavigation: false,
  keepalive: false,
  mode: 'cors',
  redirect: 'follow',
  referrer: 'about:client',
  referrerPolicy: '',
}

for (const [name, value] of Object.entries(CONSTANTS)) defineConstant(name, value)
Object.defineProperty(SluiceRequest.prototype, Symbol.toStringTag, { value: 'Request', configurable: true })

// `instanceof` of Node's class without running its constructor, which costs more than a whole answer of ours.
whenNativeClassesLoad(({ Request }) => {
  Object.setPrototypeOf(SluiceRequest.prototype, Request.prototype)
  Object.setPrototypeOf(SluiceRequest, Request)
  // A member that we do not have would look for Node's private state in our objects; give what a plain request says.
  let plain: Request | undefined
  for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(Request.prototype))) {
    if (member.get === undefined || Object.hasOwn(SluiceRequest.prototype, name)) continue
    plain ??= new Request('http://localhost/')
    defineConstant(name, Reflect.get(plain, name))
  }
})

function defineConstant(name: string, value: unknown): void {
  Object.defineProperty(SluiceRequest.prototype, name, { get: () => value, enumerable: true, configurable: true })
}
