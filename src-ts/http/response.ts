import { Readable } from 'node:stream'
import { inspect, type InspectOptions } from 'node:util'
import { Template } from '../bridge/record.ts'
import { sluiceError, sluiceRangeError, sluiceTypeError } from '../errors.ts'
import { FileBody } from './file-body.ts'
import { type FieldsInit, HeaderBlock } from './header-block.ts'
import { isNativeInstance, nativeClasses, whenNativeClassesLoad } from './native-classes.ts'
import { Takeover } from './takeover.ts'

/** What a body may be: everything the standard has, and any async iterable of bytes or text, such as a Node stream. */
export type ResponseBody = ConstructorParameters<typeof globalThis.Response>[0] | AsyncIterable<Uint8Array | string> | null

/** A body as it is kept: whole when it is text or bytes, else what will be read when it is sent. */
export type KeptBody = string | Uint8Array | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string> | Takeover | FileBody | null

// Shared by every response without fields of its own, and never changed.
const UNTYPED = new HeaderBlock(Template.NONE)
const TEXT = new HeaderBlock(Template.TEXT)
const JSON_TYPE = new HeaderBlock(Template.JSON)

/** What the sender needs of a response. */
export let isSluiceResponse: (value: unknown) => value is SluiceResponse
/** The header to send. A `Headers` that the app has asked for counts; it may have changed. */
export let headerBlockOf: (response: SluiceResponse) => HeaderBlock
/** An answer that gives the connection to what outlives the exchange. @throws as the constructor, for `headers` */
export let takeoverResponse: (takeover: Takeover, status: number, headers?: FieldsInit) => SluiceResponse
/** An answer with a file. @throws as the constructor, for `headers` */
export let fileResponse: (body: FileBody, headers: FieldsInit) => SluiceResponse
/** The body to send. A stream is taken with it. @throws ERR_SLUICE_RESPONSE_SENT when that was done before, TypeError when the app has read it */
export let takeBody: (response: SluiceResponse) => KeptBody

/**
 * The `Response` of an app: the standard's, at the cost of storing it. Status, text or bytes, and the header block are all
 * that the usual answer needs; the rest is made when asked for.
 *
 * Beyond the standard, the body may be any async iterable. Text and bytes are not copied and not used up by sending, so a
 * response that never changes can be made once and returned every time.
 */
export class SluiceResponse {
  #body: KeptBody
  #status: number
  #statusText: string
  #block: HeaderBlock
  #headers: Headers | null
  /** Holds the body once somebody reads it as the standard says. */
  #native: Response | null
  #isUsed: boolean
  // The same for every response an app makes, and on the prototype.
  declare readonly type: 'default'
  declare readonly url: ''
  declare readonly redirected: false

  /**
   * @throws RangeError ERR_SLUICE_INVALID_ARG for a status outside 200–599
   * @throws TypeError ERR_SLUICE_INVALID_ARG for a header that cannot be sent; TypeError for a body that was read, or that the status forbids
   */
  constructor(body?: ResponseBody, init?: ResponseInit) {
    this.#body = null
    this.#status = 200
    this.#statusText = ''
    this.#block = UNTYPED
    this.#headers = null
    this.#native = null
    this.#isUsed = false
    if (init !== undefined && init !== null) {
      if (init.status !== undefined) this.#status = checkStatus(init.status)
      if (init.statusText !== undefined) this.#statusText = checkStatusText(String(init.statusText))
      if (init.headers !== undefined && init.headers !== null) this.#block = HeaderBlock.from(init.headers)
    }
    if (typeof body === 'string') {
      this.#body = body
      this.#type(TEXT, 'text/plain;charset=UTF-8')
    } else if (body !== undefined && body !== null) {
      this.#keep(body)
    }
    if (this.#body !== null && isNullBodyStatus(this.#status)) throw new TypeError(`A response with status ${this.#status} cannot have a body`)
  }

  static {
    isSluiceResponse = (value): value is SluiceResponse => typeof value === 'object' && value !== null && #block in value
    headerBlockOf = (response) => (response.#headers === null ? response.#block : HeaderBlock.from(response.#headers))
    takeBody = (response) => response.#takeBody()
    fileResponse = (body, headers) => {
      const response = new SluiceResponse(null, { headers })
      response.#body = body
      return response
    }
    takeoverResponse = (takeover, status, headers) => {
      const response = new SluiceResponse(null, headers === undefined ? undefined : { headers })
      response.#status = status
      response.#body = takeover
      return response
    }
  }

  /** A JSON answer. @throws TypeError for a value that JSON has no text for */
  static json(data: unknown, init?: ResponseInit): SluiceResponse {
    const text = JSON.stringify(data)
    if (text === undefined) throw new TypeError(`Response.json() needs a value that JSON can express, got ${typeof data}`)
    const response = new SluiceResponse(null, init)
    if (isNullBodyStatus(response.#status)) throw new TypeError(`A response with status ${response.#status} cannot have a body`)
    response.#body = text
    response.#type(JSON_TYPE, 'application/json')
    return response
  }

  /** A redirect. `url` may be relative, which the standard's would refuse outside a page. @throws RangeError for a status that is none of 301, 302, 303, 307, 308 */
  static redirect(url: string | URL, status = 302): SluiceResponse {
    if (![301, 302, 303, 307, 308].includes(status)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `Redirect status must be 301, 302, 303, 307 or 308, got ${inspect(status)}`)
    const text = String(url)
    return new SluiceResponse(null, { status, headers: { location: URL.canParse(text) ? new URL(text).href : text } })
  }

  /** The standard's network error. It cannot be sent. */
  static error(): Response {
    return nativeClasses().Response.error()
  }

  /** Node's own responses, such as those of `fetch`, are instances as well. */
  static [Symbol.hasInstance](value: unknown): boolean {
    if (this === SluiceResponse) return isSluiceResponse(value) || isNativeInstance('Response', value)
    return Function.prototype[Symbol.hasInstance].call(this, value)
  }

  get status(): number {
    return this.#status
  }

  /** Kept for whoever reads the response; the status line has the usual text of the status. */
  get statusText(): string {
    return this.#statusText
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status < 300
  }

  get headers(): Headers {
    return (this.#headers ??= this.#block.toHeaders())
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#body === null || this.#body instanceof Takeover ? null : (this.#standard().body as ReadableStream<Uint8Array<ArrayBuffer>>)
  }

  get bodyUsed(): boolean {
    if (this.#native !== null) return this.#native.bodyUsed
    return this.#isUsed || (this.#body instanceof ReadableStream && Readable.isDisturbed(this.#body as never))
  }

  text(): Promise<string> {
    return this.#reader().text()
  }

  json(): Promise<unknown> {
    return this.#reader().json()
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#reader().arrayBuffer()
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.#reader().arrayBuffer())
  }

  blob(): Promise<Blob> {
    return this.#reader().blob()
  }

  formData(): Promise<FormData> {
    return this.#reader().formData()
  }

  /** @throws TypeError when the body was read, and for the answers of `ctx.upgrade()` and `ctx.sse()` */
  clone(): SluiceResponse {
    if (this.#body instanceof Takeover) throw notReadable()
    const clone = new SluiceResponse(null, { status: this.#status, statusText: this.#statusText, headers: this.headers })
    if (this.bodyUsed) throw new TypeError('The response body was already read')
    if (this.#native !== null) {
      clone.#native = this.#native.clone()
      clone.#body = clone.#native.body
    } else if (this.#body === null || typeof this.#body === 'string' || this.#body instanceof Uint8Array || this.#body instanceof Blob || this.#body instanceof FileBody) {
      clone.#body = this.#body
    } else {
      const [mine, other] = streamOf(this.#body).tee()
      this.#body = mine
      clone.#body = other
    }
    return clone
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `Response ${inspect({ status: this.#status, headers: Object.fromEntries(this.headers), bodyUsed: this.bodyUsed }, options)}`
  }

  /** Gives the type of the body, unless the app has said one. */
  #type(shared: HeaderBlock | null, type: string): void {
    if (this.#block.isTyped) return
    if (this.#block === UNTYPED) {
      if (shared !== null) {
        this.#block = shared
        return
      }
      this.#block = new HeaderBlock(Template.NONE)
    }
    this.#block.append('content-type', type)
  }

  #keep(body: Exclude<ResponseBody, string | null>): void {
    if (body instanceof Uint8Array) {
      this.#body = body
    } else if (body instanceof ArrayBuffer || body instanceof SharedArrayBuffer) {
      this.#body = new Uint8Array(body)
    } else if (ArrayBuffer.isView(body)) {
      this.#body = new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
    } else if (body instanceof Blob) {
      this.#body = body
      if (body.type !== '') this.#type(null, body.type)
    } else if (body instanceof ReadableStream) {
      if (body.locked || Readable.isDisturbed(body as never)) throw new TypeError('The stream of a response must not be locked or read before')
      this.#body = body
    } else if (body instanceof URLSearchParams) {
      this.#body = String(body)
      this.#type(null, 'application/x-www-form-urlencoded;charset=UTF-8')
    } else if (isFormData(body)) {
      // Node chooses the boundary, and writes the parts when they are read.
      const standard = new (nativeClasses().Response)(body)
      this.#body = standard.body
      this.#type(null, standard.headers.get('content-type')!)
    } else if (typeof body === 'object' && Symbol.asyncIterator in body) {
      this.#body = body
    } else {
      this.#body = String(body)
      this.#type(TEXT, 'text/plain;charset=UTF-8')
    }
  }

  #reader(): Response {
    if (this.#native === null && this.#isUsed) throw sent()
    return this.#standard()
  }

  /** Node's own response with this body and type, to read them. */
  #standard(): Response {
    if (this.#native === null) {
      const body = this.#body
      const whole = body === null || typeof body === 'string' || body instanceof Blob
      const { Response } = nativeClasses()
      const init = { headers: { 'content-type': this.headers.get('content-type') ?? '' } }
      if (whole) this.#native = new Response(body, init)
      else if (body instanceof Uint8Array) this.#native = new Response(new Uint8Array(body), init)
      else this.#native = new Response(streamOf(body), init)
    }
    return this.#native
  }

  #takeBody(): KeptBody {
    if (this.#native !== null) {
      if (this.#native.bodyUsed) throw new TypeError('The response body was read before it could be sent')
      // Somebody has looked at the stream and not read it: the core still sends the file.
      if (this.#body instanceof FileBody && this.#native.body?.locked === false) return this.#body
      return this.#native.body
    }
    const body = this.#body
    if (body === null || typeof body === 'string' || body instanceof Uint8Array || body instanceof Blob || body instanceof FileBody) return body
    if (this.#isUsed) throw sent()
    this.#isUsed = true
    return body
  }
}

// `instanceof` of Node's own class, and of a library's that kept it, is true for ours.
whenNativeClassesLoad(({ Response }) => {
  Object.setPrototypeOf(SluiceResponse.prototype, Response.prototype)
  Object.setPrototypeOf(SluiceResponse, Response)
})
Object.defineProperty(SluiceResponse.prototype, Symbol.toStringTag, { value: 'Response', configurable: true })
Object.defineProperty(SluiceResponse, 'name', { value: 'Response', configurable: true })
for (const [name, value] of Object.entries({ type: 'default', url: '', redirected: false })) {
  Object.defineProperty(SluiceResponse.prototype, name, { value, enumerable: true, configurable: true })
}

/** Node's class comes with the whole of `fetch`; only what says to be one is compared with it. */
function isFormData(value: unknown): value is FormData {
  return typeof value === 'object' && value !== null && Reflect.get(value, Symbol.toStringTag) === 'FormData' && value instanceof FormData
}

function sent(): Error {
  return sluiceError('ERR_SLUICE_RESPONSE_SENT', 'The body of the response is a stream that was already sent; make a response for each request')
}

function notReadable(): Error {
  return new TypeError('The answer of ctx.upgrade() or ctx.sse() has no body that could be read or cloned')
}

/** 1xx, 204, 205 and 304 end with their header. */
function isNullBodyStatus(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}

function checkStatus(status: number): number {
  if (Number.isInteger(status) && status >= 200 && status <= 599) return status
  throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `Response status must be a whole number from 200 to 599, got ${inspect(status)}`)
}

/** RFC 9112 4, reason-phrase. */
// oxlint-disable-next-line no-control-regex
const NOT_A_REASON = /[^\t\x20-\x7e\x80-\xff]/

function checkStatusText(text: string): string {
  if (NOT_A_REASON.test(text)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Response statusText must be a reason phrase, got ${JSON.stringify(text)}`)
  return text
}

function streamOf(body: Exclude<KeptBody, string | Uint8Array | Blob | null>): ReadableStream<Uint8Array<ArrayBuffer>> {
  if (body instanceof Takeover) throw notReadable()
  if (body instanceof FileBody) return body.stream()
  return (body instanceof ReadableStream ? body : bytesOf(body)) as ReadableStream<Uint8Array<ArrayBuffer>>
}

/** An async iterable as the standard's stream, read no faster than it is asked. */
function bytesOf(body: AsyncIterable<Uint8Array | string>): ReadableStream<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done === true) controller.close()
        else controller.enqueue(typeof value === 'string' ? encoder.encode(value) : value)
      },
      async cancel(reason) {
        await iterator.return?.(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
