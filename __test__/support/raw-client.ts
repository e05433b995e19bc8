/**
 * A TCP client that sends the bytes it is told and believes nothing: answers are parsed by the letter of RFC 9112,
 * and every wait has a limit and says what it waited for.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** How long any single wait may last, in milliseconds. Long, because it is only reached when a promise is broken. */
const waitLimit = 10_000

export interface RawResponse {
  readonly status: number
  readonly reason: string
  /** Lower-case names; several lines of one name are kept apart in {@link RawResponse.lines}. */
  readonly headers: ReadonlyMap<string, string>
  readonly lines: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  readonly text: string
  /** How the end of the body was known. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close'
  /** The sizes of the chunks as they came, for `chunked`. */
  readonly chunks: readonly number[]
}

export interface Ending {
  /** What came before the end and was not yet taken as a response. */
  readonly rest: Buffer
  /** The connection was broken (RST) rather than closed (FIN). */
  readonly wasReset: boolean
}

export class RawClient {
  readonly #socket: Socket
  /** Joined only when somebody looks, so that a large answer is not copied again with every packet. */
  #arrived: Buffer[] = []
  #received = 0
  #ending: { wasReset: boolean } | undefined
  /** Resolved and replaced whenever something arrives. */
  #news = signal()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#arrived.push(bytes)
      this.#received += bytes.length
      this.#announce()
    })
    socket.on('end', () => this.#probe())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A failed write only tells that the server has closed; what it said before is still to be read.
      if (error.code !== 'EPIPE') this.#end(true)
    })
    socket.on('close', () => this.#end(false))
  }

  /** Connects to a loopback port. The client keeps its half open when the server closes its own. */
  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    await once(socket, 'connect', { signal: AbortSignal.timeout(waitLimit) })
    return new RawClient(socket)
  }

  /** Bytes that have arrived since the connection was made, whether taken or not. */
  get received(): number {
    return this.#received
  }

  /** Sends bytes; strings are latin1. Sending to a server that has closed is no error here. */
  send(bytes: string | Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Closes our half: the server sees the end of the stream and can still answer. */
  halfClose(): void {
    this.#socket.end()
  }

  /** Leaves with a FIN and reads nothing more. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Leaves with a RST. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  /** Stops reading, so that the server's answer piles up in front of it. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /**
   * The next response, interim (1xx) ones included. `to` is the method it answers: HEAD has no body.
   * Rejects when the bytes break the grammar, the connection ends in the middle, or nothing comes for 10 s.
   */
  async response(to = 'GET'): Promise<RawResponse> {
    for (;;) {
      const parsed = parseResponse(this.#input, to, this.#ending !== undefined)
      if (parsed) {
        this.#arrived = [this.#input.subarray(parsed.length)]
        return parsed.response
      }
      if (this.#ending) throw new Error(`the connection ended before a whole response to ${to}; ${this.#soFar()}`)
      await this.#wait(`a response to ${to}`)
    }
  }

  /** Waits for the server's end of the connection. */
  async ended(): Promise<Ending> {
    while (!this.#ending) await this.#wait('the end of the connection')
    return { rest: this.#input, wasReset: this.#ending.wasReset }
  }

  /** Waits until at least `count` bytes have arrived in all. */
  async arrived(count: number): Promise<void> {
    while (this.#received < count) {
      if (this.#ending) throw new Error(`the connection ended before ${count} bytes; ${this.#soFar()}`)
      await this.#wait(`${count} bytes`)
    }
  }

  get #input(): Buffer {
    const [only] = this.#arrived
    if (only && this.#arrived.length === 1) return only
    const joined = Buffer.concat(this.#arrived)
    this.#arrived = [joined]
    return joined
  }

  async #wait(what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const expired = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(true), waitLimit)))
    // Thrown from here rather than from the timer, so that the stack leads to the test.
    const isExpired = await Promise.race([this.#news.promise, expired])
    clearTimeout(timer)
    if (isExpired) throw new Error(`waited ${waitLimit} ms for ${what}; ${this.#soFar()}`)
  }

  #announce(): void {
    const { resolve } = this.#news
    this.#news = signal()
    resolve()
  }

  #end(wasReset: boolean): void {
    this.#ending ??= { wasReset }
    this.#announce()
  }

  /**
   * Tells a RST from a FIN. libuv can report a RST behind data as a plain end, but a write shows the difference: it
   * fails at once on a broken connection. With our own half closed there is nothing to try; it then counts as a FIN.
   */
  #probe(): void {
    if (!this.#socket.writable) return this.#end(false)
    this.#socket.write('\r\n', (error) => this.#end(error !== null && error !== undefined))
  }

  #soFar(): string {
    return `so far ${JSON.stringify(this.#input.toString('latin1', 0, 300))} of ${this.#input.length} bytes`
  }
}

/** `Promise.withResolvers` is not there on Node 20. */
function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/

/** One response from the front of the bytes, or nothing if it is not all there yet. Throws on any break of the grammar. */
function parseResponse(input: Buffer, to: string, hasEnded: boolean): { response: RawResponse; length: number } | undefined {
  const headEnd = input.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const [statusLine = '', ...fieldLines] = input.toString('latin1', 0, headEnd).split('\r\n')
  const status = /^HTTP\/1\.1 ([1-5]\d\d) ([\t\x20-\x7e\x80-\xff]*)$/.exec(statusLine)
  if (!status) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`)
  const lines = fieldLines.map(parseField)
  const code = Number(status[1])
  const framed = parseBody(input, headEnd + 4, { framing: framingOf(lines, code, to), hasEnded })
  if (!framed) return undefined
  const { body, chunks, framing, end } = framed
  const headers = new Map<string, string>()
  for (const [name, value] of lines) headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value)
  return {
    response: { status: code, reason: status[2] ?? '', headers, lines, body, text: body.toString('utf8'), framing, chunks },
    length: end,
  }
}

function parseField(line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  const name = line.slice(0, colon)
  const value = line.slice(colon + 1)
  if (colon < 1 || !token.test(name) || !fieldValue.test(value)) throw new Error(`not a field line: ${JSON.stringify(line)}`)
  return [name.toLowerCase(), value.replace(/^[\t ]+|[\t ]+$/g, '')]
}

type ResponseFraming = { kind: 'none' | 'chunked' | 'close' } | { kind: 'length'; length: number }

/** RFC 9112 section 6.3, and stricter: what a sender must not send is an error here. */
function framingOf(lines: readonly (readonly [string, string])[], status: number, to: string): ResponseFraming {
  const lengths = lines.filter(([name]) => name === 'content-length').map(([, value]) => value)
  const codings = lines.filter(([name]) => name === 'transfer-encoding').map(([, value]) => value)
  if (lengths.length + codings.length > 1) throw new Error(`more than one framing: ${JSON.stringify({ lengths, codings })}`)
  if (lengths.some((value) => !/^\d{1,15}$/.test(value))) throw new Error(`not a content-length: ${lengths[0]}`)
  if (codings.some((value) => value !== 'chunked')) throw new Error(`not a known transfer-encoding: ${codings[0]}`)
  const isInterim = status < 200
  if ((isInterim || status === 204) && lengths.length + codings.length > 0) throw new Error(`a ${status} must have no framing`)
  if (isInterim || status === 204 || status === 304 || to === 'HEAD') return { kind: 'none' }
  if (codings.length === 1) return { kind: 'chunked' }
  return lengths[0] === undefined ? { kind: 'close' } : { kind: 'length', length: Number(lengths[0]) }
}

interface Framed {
  body: Buffer
  chunks: number[]
  framing: RawResponse['framing']
  end: number
}

function parseBody(input: Buffer, start: number, { framing, hasEnded }: { framing: ResponseFraming; hasEnded: boolean }): Framed | undefined {
  const chunks: number[] = []
  switch (framing.kind) {
    case 'none':
      return { body: Buffer.alloc(0), chunks, framing: 'none', end: start }
    case 'length': {
      const end = start + framing.length
      return input.length < end ? undefined : { body: input.subarray(start, end), chunks, framing: 'length', end }
    }
    case 'close':
      return hasEnded ? { body: input.subarray(start), chunks, framing: 'close', end: input.length } : undefined
    case 'chunked':
      return parseChunks(input, start)
  }
}

function parseChunks(input: Buffer, start: number): Framed | undefined {
  const parts: Buffer[] = []
  let at = start
  for (;;) {
    const lineEnd = input.indexOf('\r\n', at)
    if (lineEnd === -1) return undefined
    const line = input.toString('latin1', at, lineEnd)
    if (!/^[0-9a-fA-F]{1,12}$/.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`)
    const size = Number.parseInt(line, 16)
    const from = lineEnd + 2
    if (input.length < from + size + 2) return undefined
    if (input.toString('latin1', from + size, from + size + 2) !== '\r\n') throw new Error('a chunk does not end with CRLF')
    at = from + size + 2
    if (size === 0) break
    parts.push(input.subarray(from, from + size))
  }
  return { body: Buffer.concat(parts), chunks: parts.map((part) => part.length), framing: 'chunked', end: at }
}
