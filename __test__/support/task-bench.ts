/** A server with tasks that does what a test says, and tells what its workers do. */
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { startServer } from './server.ts'

const app = fileURLToPath(new URL('../fixtures/tasks.mjs', import.meta.url))

/** What a worker tells. */
export interface Note {
  readonly what: string
  readonly worker: number
  readonly kind: string
  readonly thread: number
  readonly [more: string]: unknown
}

interface Failure {
  readonly code?: string
  readonly message: string
  readonly name: string
  readonly stack: string
  readonly isError: boolean
  readonly cause?: unknown
  readonly task?: { id: string; name: string; attempts: number }
}

/** A server that runs the fixture, and what its workers tell. */
export class TaskBench {
  readonly server: Server
  readonly notes: Note[] = []
  readonly errors: (Error & { code?: string })[] = []
  #changed = (): void => {}

  static async start(t: ExecutionContext, config: Config = { tasks: {} }): Promise<TaskBench> {
    return new TaskBench(await startServer(t, { app, workers: 1, ...config }))
  }

  constructor(server: Server) {
    this.server = server
    server.on('message', (_from, data) => {
      this.notes.push(data as Note)
      this.#changed()
    })
    server.on('error', (error, { phase }) => {
      if (phase === 'task') this.errors.push(error)
      this.#changed()
    })
  }

  /** Lets the app do something, and waits for what it answers. */
  async do(act: string, arg: unknown = null): Promise<unknown> {
    const { error, value } = await this.#ask(act, arg)
    if (error !== undefined) throw new Error(`${act}: ${error.name} ${error.code} ${error.message}`)
    return value
  }

  /** The error that something ends with. */
  async fails(act: string, arg: unknown = null): Promise<Failure> {
    const { error, value } = await this.#ask(act, arg)
    if (error === undefined) throw new Error(`${act} has not failed, but given ${JSON.stringify(value)}`)
    return error
  }

  /** The oldest note of a kind that was not taken, when it is there. */
  async take(what: string): Promise<Note> {
    await this.until(() => this.notes.some((note) => note.what === what), what)
    return this.notes.splice(this.notes.findIndex((note) => note.what === what), 1)[0]!
  }

  /** Waits for what notes and errors bring. */
  async until(isSo: () => boolean, what: string): Promise<void> {
    const end = Date.now() + 20_000
    while (!isSo()) {
      if (Date.now() > end) throw new Error(`waited 20 s for ${what}; there is ${JSON.stringify(this.notes)}, ${this.errors.map(String)}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 50)
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async #ask(act: string, arg: unknown): Promise<{ value?: unknown; error?: Failure }> {
    const response = await fetch(this.server.url, { method: 'POST', body: JSON.stringify({ act, arg }) })
    return (await response.json()) as { value?: unknown; error?: Failure }
  }
}
