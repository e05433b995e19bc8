import { inspect } from 'node:util'

import type { ErrorSource, LifecycleEvents, LifecycleHandler } from './api.ts'
import { errorOf } from './error-record.ts'

interface Entry<K extends keyof LifecycleEvents> {
  readonly handler: LifecycleHandler<K>
  readonly once: boolean
}
type Entries = { [K in keyof LifecycleEvents]?: readonly Entry<K>[] }

/** Handlers given in the configuration. */
export type LifecycleConfig = { readonly [K in keyof LifecycleEvents]?: readonly LifecycleHandler<K>[] | undefined }

/** Most handlers of one event; more are a leak of the caller's. */
const HANDLERS_MAX = 1_000

/** Handlers of one thread's server. They run in the order they were added, each after the one before has settled. */
export class Lifecycle {
  readonly #entries: Entries = {}
  readonly #worker: number | undefined

  /** `worker`: whose thread this is, for the source of reported errors. */
  constructor(worker: number | undefined) {
    this.#worker = worker
  }

  /** Adds the configured handlers of some events: those that concern this thread. */
  configure(config: LifecycleConfig, events: readonly (keyof LifecycleEvents)[]): void {
    for (const event of events) this.#configure(config, event)
  }

  on<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>, { signal, once = false }: { signal?: AbortSignal; once?: boolean } = {}): void {
    if (signal?.aborted) return
    this.#add(event, { handler, once })
    signal?.addEventListener('abort', () => this.off(event, handler), { once: true })
  }

  off<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>): void {
    this.#set(event, this.#get(event).filter((entry) => entry.handler !== handler))
  }

  has(event: keyof LifecycleEvents): boolean {
    return this.#get(event).length > 0
  }

  /** Runs the handlers; the first that fails ends the row and rejects with its error. For events that can be refused. */
  async run<K extends keyof LifecycleEvents>(event: K, ...args: LifecycleEvents[K]): Promise<void> {
    for (const handler of this.#take(event)) await handler(...args)
  }

  /** Runs the handlers; one that fails is reported and the next runs. For events that only tell. Never rejects. */
  async tell<K extends keyof LifecycleEvents>(event: K, ...args: LifecycleEvents[K]): Promise<void> {
    for (const handler of this.#take(event)) {
      try {
        await handler(...args)
      } catch (error) {
        this.report(error, event)
      }
    }
  }

  /** The one place where errors go that nobody else could take. */
  report(thrown: unknown, phase: string, { task, worker = this.#worker }: { readonly worker?: number | undefined; readonly task?: string | undefined } = {}): void {
    const error = errorOf(thrown)
    const source: ErrorSource = { phase, worker, ...(task !== undefined && { task }) }
    const handlers = this.#take('error')
    if (handlers.length === 0) print(error, source)
    for (const handler of handlers) {
      // A handler of errors that fails itself has nobody left to tell but the terminal.
      Promise.resolve()
        .then(() => handler(error, source))
        .catch((second: unknown) => print(second, { phase: 'error', worker: this.#worker }))
    }
  }

  #configure<K extends keyof LifecycleEvents>(config: LifecycleConfig, event: K): void {
    for (const handler of config[event] ?? []) this.#add(event, { handler, once: false })
  }

  #add<K extends keyof LifecycleEvents>(event: K, entry: Entry<K>): void {
    const entries = this.#get(event)
    if (entries.length === HANDLERS_MAX) process.emitWarning(`More than ${HANDLERS_MAX} handlers of \`${event}\`; this looks like a leak`, 'SluiceWarning')
    this.#set(event, [...entries, entry])
  }

  #take<K extends keyof LifecycleEvents>(event: K): readonly LifecycleHandler<K>[] {
    const entries = this.#get(event)
    if (entries.some(({ once }) => once)) this.#set(event, entries.filter(({ once }) => !once))
    return entries.map(({ handler }) => handler)
  }

  #get<K extends keyof LifecycleEvents>(event: K): readonly Entry<K>[] {
    return (this.#entries as { readonly [E in K]?: readonly Entry<K>[] })[event] ?? []
  }

  #set<K extends keyof LifecycleEvents>(event: K, entries: readonly Entry<K>[]): void {
    ;(this.#entries as { [E in K]?: readonly Entry<K>[] })[event] = entries
  }
}

function print(error: unknown, { phase, task, worker }: ErrorSource): void {
  process.stderr.write(`sluice: error in ${phase}${task === undefined ? '' : ` "${task}"`}${worker === undefined ? '' : ` (worker ${worker})`}: ${inspect(error)}\n`)
}
