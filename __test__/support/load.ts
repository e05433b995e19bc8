/**
 * Constant load on keep-alive connections, and an account of it that hides nothing: every answer, every connection that ended,
 * every request that was not answered.
 */
import { setTimeout as delay } from 'node:timers/promises'

import { RawClient, type RawResponse } from './raw-client.ts'

export interface LoadOptions {
  readonly port: number
  /** Each sends a request, waits for the answer, and sends the next. @default 4 */
  readonly connections?: number
  /** @default 'GET' */
  readonly method?: string
  /** @default '/' */
  readonly path?: string
  /** Milliseconds between an answer and the next request of a connection: what leaves the machine time to breathe. @default 0 */
  readonly pause?: number
}

export interface LoadReport {
  /** Answers by status. */
  readonly statuses: ReadonlyMap<number, number>
  /** Answers by body. */
  readonly bodies: ReadonlyMap<string, number>
  /** Answers in all. */
  readonly answers: number
  /** Requests without a whole answer, and connections that ended: what went wrong, one line each. */
  readonly failures: readonly string[]
  /** Answers with 503 but without `Retry-After`. */
  readonly rude503: number
  /** Milliseconds of the slowest answer. */
  readonly longest: number
}

export class Load {
  readonly #statuses = new Map<number, number>()
  readonly #bodies = new Map<string, number>()
  readonly #failures: string[] = []
  readonly #waiters: { readonly isMet: () => boolean; readonly resolve: () => void }[] = []
  readonly #lines: Promise<void>[]
  readonly #clients: readonly RawClient[]
  #answers = 0
  #rude503 = 0
  #longest = 0
  #isEnding = false

  private constructor(clients: readonly RawClient[], request: string, { method = 'GET', pause = 0 }: LoadOptions) {
    this.#clients = clients
    this.#lines = clients.map((client) => this.#keepAsking(client, request, method, pause))
  }

  /** Connects everyone, then starts. */
  static async start(options: LoadOptions): Promise<Load> {
    const { port, connections = 4, method = 'GET', path = '/' } = options
    const clients = await Promise.all(Array.from({ length: connections }, () => RawClient.connect(port)))
    const length = method === 'GET' || method === 'HEAD' ? '' : 'Content-Length: 0\r\n'
    return new Load(clients, `${method} ${path} HTTP/1.1\r\nHost: test\r\n${length}\r\n`, options)
  }

  /** Resolves when `count` more answers have come. Never, when everybody has failed; a test's own limit says so then. */
  more(count: number): Promise<void> {
    const target = this.#answers + count
    return this.#until(() => this.#answers >= target)
  }

  /** Resolves when an answer with this body has come. */
  body(text: string): Promise<void> {
    return this.#until(() => this.#bodies.has(text))
  }

  /** Waits for the answers that are due and closes the connections. */
  async stop(): Promise<LoadReport> {
    this.#isEnding = true
    await Promise.all(this.#lines)
    for (const client of this.#clients) client.destroy()
    return {
      statuses: this.#statuses,
      bodies: this.#bodies,
      answers: this.#answers,
      failures: this.#failures,
      rude503: this.#rude503,
      longest: this.#longest,
    }
  }

  async #keepAsking(client: RawClient, request: string, method: string, pause: number): Promise<void> {
    while (!this.#isEnding) {
      const start = performance.now()
      client.send(request)
      try {
        this.#count(await client.response(method), performance.now() - start)
      } catch (error) {
        this.#failures.push(error instanceof Error ? error.message : String(error))
        return
      }
      if (pause > 0) await delay(pause)
    }
  }

  #count({ status, text, headers }: RawResponse, ms: number): void {
    this.#answers += 1
    this.#longest = Math.max(this.#longest, ms)
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1)
    if (this.#bodies.size < 100) this.#bodies.set(text, (this.#bodies.get(text) ?? 0) + 1)
    if (status === 503 && !headers.has('retry-after')) this.#rude503 += 1
    if (headers.get('connection') === 'close') this.#failures.push(`a ${status} announced the end of the connection`)
    for (const waiter of this.#waiters.filter(({ isMet }) => isMet())) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
      waiter.resolve()
    }
  }

  #until(isMet: () => boolean): Promise<void> {
    if (isMet()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push({ isMet, resolve })
    })
  }
}
