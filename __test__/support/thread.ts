/** Threads that run what a test tells them: what is shared between threads is shown between threads. */
import { Worker } from 'node:worker_threads'
import type { ExecutionContext } from 'ava'

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: { readonly name: string; readonly code: string; readonly message: string }
}

export class Thread {
  readonly #worker: Worker
  readonly #open = new Map<number, { resolve: (value: never) => void; reject: (reason: Error) => void }>()
  readonly exited: Promise<unknown>
  #last = 0

  /** Ends with the test. */
  constructor(t: ExecutionContext) {
    this.#worker = new Worker(new URL('../fixtures/thread.mjs', import.meta.url))
    this.#worker.on('message', ({ id, value, error }: Answer) => {
      const call = this.#open.get(id)
      this.#open.delete(id)
      if (error) call?.reject(Object.assign(new Error(error.message), error))
      else call?.resolve(value as never)
    })
    this.#worker.on('error', () => undefined)
    this.exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    t.teardown(() => this.#worker.terminate())
  }

  /** The value of `code`, the body of an async function of `sluice`, `state` and `args`. Rejects with the name, code and message of what it threw. */
  run<T = unknown>(code: string, ...args: unknown[]): Promise<T> {
    this.#last += 1
    const id = this.#last
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker; only windows have origins
    this.#worker.postMessage({ id, code, args })
    return new Promise((resolve, reject) => this.#open.set(id, { resolve, reject }))
  }

  /** Tells it to run what does not return. */
  tell(code: string): void {
    void this.run(code).catch(() => undefined)
  }

  /** Ends it wherever it is. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }
}
