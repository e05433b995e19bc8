/** A WebSocket client of the package `ws`, so that both ends of a test are not ours, with waits that have a limit. */
import { once } from 'node:events'
import type { ExecutionContext } from 'ava'
import { WebSocket, type ClientOptions } from 'ws'

/** How long any single wait may last, in milliseconds. Only reached when a promise is broken. */
const WAIT_MS = 20_000

export interface Closed {
  readonly code: number
  readonly reason: string
}

export class SocketClient {
  /** Every message that came, in order. */
  readonly received: string[] = []
  /** How it ended. */
  readonly closed: Promise<Closed>
  readonly #socket: WebSocket
  readonly #looks = new Set<() => void>()
  #ending: Closed | undefined

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => {
      this.received.push(String(data))
      this.#tell()
    })
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        this.#ending = { code, reason: String(reason) }
        resolve(this.#ending)
        this.#tell()
      })
    })
  }

  /** Opens a connection that ends with its test. */
  static async connect(t: ExecutionContext, port: number, path = '/socket', options: ClientOptions = {}): Promise<SocketClient> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, ['lines'], { perMessageDeflate: false, ...options })
    t.teardown(() => socket.terminate())
    // Before the first message can come.
    const client = new SocketClient(socket)
    await once(socket, 'open', { signal: AbortSignal.timeout(WAIT_MS) })
    // What breaks later is seen as the end.
    socket.on('error', () => undefined)
    return client
  }

  /** The end has come. */
  get isEnded(): boolean {
    return this.#ending !== undefined
  }

  send(...messages: (string | Uint8Array)[]): void {
    for (const message of messages) this.#socket.send(message)
  }

  /** Sends a line and waits until it has come back. */
  async ask(line: string): Promise<string> {
    this.send(line)
    return await this.next((text) => text === line)
  }

  /** The first message that fits, of those that came and those to come. Rejects after 20 s, or when the connection ends before. */
  next(fits: (text: string) => boolean): Promise<string> {
    return this.#until(() => this.received.find(fits), `a message, after ${JSON.stringify(this.received.slice(-10))}`)
  }

  /** Waits until `count` messages have come in all. */
  async count(count: number): Promise<readonly string[]> {
    await this.#until(() => this.received.length >= count || undefined, `${count} messages`)
    return this.received
  }

  /** Sends a ping and waits for its pong. */
  async ping(payload = ''): Promise<void> {
    const ponged = once(this.#socket, 'pong', { signal: AbortSignal.timeout(WAIT_MS) })
    this.#socket.ping(payload)
    const [data] = (await ponged) as [Buffer]
    if (data.toString() !== payload) throw new Error(`expected a pong with "${payload}", got "${data.toString()}"`)
  }

  /** Begins the closing handshake. */
  async close(code = 1000, reason = ''): Promise<Closed> {
    this.#socket.close(code, reason)
    return await this.closed
  }

  /** Leaves without a word. */
  terminate(): void {
    this.#socket.terminate()
  }

  #tell(): void {
    for (const look of this.#looks) look()
  }

  #until<T>(find: () => T | undefined, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer)
        this.#looks.delete(look)
        reject(new Error(`${why} while it waited for ${what}; so far ${JSON.stringify(this.received.slice(-10))}`))
      }
      const timer = setTimeout(() => fail(`${WAIT_MS} ms were over`), WAIT_MS)
      const look = (): void => {
        const found = find()
        if (found === undefined) {
          if (this.#ending) fail(`the connection ended with ${this.#ending.code}`)
          return
        }
        clearTimeout(timer)
        this.#looks.delete(look)
        resolve(found)
      }
      this.#looks.add(look)
      look()
    })
  }
}
