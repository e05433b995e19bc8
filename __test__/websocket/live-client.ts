/** A WebSocket of the package `ws` that is read message by message; every wait has a limit and says what it waited for. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { ExecutionContext } from 'ava'
import { serve, type Config, type Server } from 'sluice'
import { type ClientOptions, WebSocket } from 'ws'

import { portOf, startServer } from '../support/server.ts'

/** How long any single wait may last, in milliseconds. Only reached when a promise is broken. */
const WAIT_MS = 20_000

/** What ended a connection, as its client saw it. */
export interface Ending {
  readonly code: number
  readonly reason: string
}

/** An answer that refused a handshake. */
export interface Refusal {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

/** How a client connects. */
export interface LiveOptions extends ClientOptions {
  path?: string
  protocols?: string[]
}

/** The URL of a path of a server, for a WebSocket. */
export function wsUrl(server: Server, path = '/live'): string {
  return `ws://127.0.0.1:${portOf(server)}${path}`
}

export class LiveClient {
  readonly socket: WebSocket
  /** Resolves with what ended the connection. */
  readonly closed: Promise<Ending>
  /** Names of what came beside messages: `ping`, `pong` with their payload. */
  readonly control: string[] = []
  /** The fields of the answer that accepted the handshake. */
  headers: IncomingMessage['headers'] = {}
  readonly #messages: (string | Buffer)[] = []
  readonly #results: unknown[] = []
  #news = signal()
  #hasEnded = false

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const message = isBinary ? data : data.toString()
      // Between the messages of others the answers of `call` come in their own order.
      if (typeof message === 'string' && message.startsWith('=')) this.#results.push(JSON.parse(message.slice(1)))
      else this.#messages.push(message)
      this.#announce()
    })
    for (const name of ['ping', 'pong'] as const) {
      socket.on(name, (data) => {
        this.control.push(`${name} ${data.toString()}`)
        this.#announce()
      })
    }
    socket.on('error', () => undefined)
    socket.on('upgrade', ({ headers }) => (this.headers = headers))
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.#hasEnded = true
        resolve({ code, reason: reason.toString() })
        this.#announce()
      })
    })
  }

  /** A connection that is open, and ends with its test. */
  static async open(t: ExecutionContext, to: Server | string, { path, protocols = [], ...options }: LiveOptions = {}): Promise<LiveClient> {
    const client = LiveClient.start(t, to, { ...(path !== undefined && { path }), protocols, ...options })
    await inTime('a connection to open', once(client.socket, 'open'))
    return client
  }

  /** One that may still be refused. */
  static start(t: ExecutionContext, to: Server | string, { path, protocols = [], ...options }: LiveOptions = {}): LiveClient {
    const socket = new WebSocket(typeof to === 'string' ? to : wsUrl(to, path), protocols, { perMessageDeflate: false, ...options })
    t.teardown(() => socket.terminate())
    return new LiveClient(socket)
  }

  /** Asks for a connection that is refused. */
  static async refused(t: ExecutionContext, to: Server, { path, protocols = [], ...options }: LiveOptions = {}): Promise<Refusal> {
    const socket = new WebSocket(wsUrl(to, path), protocols, { perMessageDeflate: false, ...options })
    t.teardown(() => socket.terminate())
    socket.on('error', () => undefined)
    const [, answer] = (await inTime('a refusal', once(socket, 'unexpected-response'))) as [unknown, IncomingMessage]
    const text = (await buffer(answer as Readable)).toString()
    return { status: answer.statusCode!, headers: answer.headers, text }
  }

  send(data: string | Uint8Array, options: { fin?: boolean; binary?: boolean; compress?: boolean } = {}): void {
    this.socket.send(data, options)
  }

  /** The next message that is no answer of {@link call}. */
  async next(): Promise<string | Buffer> {
    await this.#until('a message', () => this.#messages.length > 0)
    return this.#messages.shift()!
  }

  /** The next messages. */
  async take(count: number): Promise<(string | Buffer)[]> {
    await this.#until(`${count} messages, got ${this.#messages.length}`, () => this.#messages.length >= count)
    return this.#messages.splice(0, count)
  }

  /** What the app gives for a call; see `fixtures/realtime.mjs`. */
  async call(...what: unknown[]): Promise<unknown> {
    this.send(`!${JSON.stringify(what)}`)
    return await this.result()
  }

  /** The next answer of a call that was sent. */
  async result(): Promise<unknown> {
    await this.#until('an answer', () => this.#results.length > 0)
    return this.#results.shift()
  }

  /** Messages that have come and were not taken. */
  get waiting(): number {
    return this.#messages.length
  }

  /** Waits for a ping or pong. */
  async controlled(what: string): Promise<void> {
    await this.#until(what, () => this.control.includes(what))
  }

  /** Sends a ping and waits for its pong: whatever the server had sent before is there then. */
  async settled(): Promise<void> {
    const mark = `settled ${Math.random()}`
    this.socket.ping(mark)
    await this.controlled(`pong ${mark}`)
  }

  /** What ended it. */
  ending(): Promise<Ending> {
    return inTime('the end of the connection', this.closed)
  }

  async #until(what: string, isMet: () => boolean): Promise<void> {
    while (!isMet()) {
      if (this.#hasEnded) throw new Error(`The connection ended before ${what} came`)
      await inTime(what, this.#news.promise)
    }
  }

  #announce(): void {
    const { resolve } = this.#news
    this.#news = signal()
    resolve()
  }
}

/** Rejects after 20 s, saying what did not come. */
export async function inTime<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${WAIT_MS} ms for ${what}`)), WAIT_MS)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** `Promise.withResolvers` is not there on Node 20. */
function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

/** A server whose only worker is this thread, that stops with its test. */
export async function inline(t: ExecutionContext, app: unknown, config: Omit<Config, 'app'> = {}): Promise<Server> {
  const server = await serve(app, { listen: { port: 0 }, core: { threads: 1 }, stateDir: false, ...config })
  server.on('error', () => undefined)
  t.teardown(() => server.shutdown({ timeout: 500 }))
  return server
}

/** The application of `fixtures/realtime.mjs` in worker threads. */
export function realtime(t: ExecutionContext, config: Config = {}): Promise<Server> {
  return startServer(t, { app: new URL('../fixtures/realtime.mjs', import.meta.url), workers: 2, ...config })
}
