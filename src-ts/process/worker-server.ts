import { native } from '../native.ts'
import { findPort, portsFrom, type Port } from '../port.ts'
import type { WorkerRuntime } from '../app.ts'
import type { DetachedRequest } from '../http/detached.ts'
import type { HealthReport, LifecycleEvents, LifecycleHandler, ReloadOptions, ReloadResult, Server, ServerStats, WorkerInfo } from './api.ts'
import { Board } from './board.ts'
import { coreStats } from './core.ts'
import { processHandle } from './custom/handle.ts'
import type { ProcessHandle, ProcessInfo } from './custom/spec.ts'
import { fromRecord } from './error-record.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { MasterLink } from './master-link.ts'
import type { Boot, Receiver } from './messages.ts'
import { healthReport, serverStats } from './stats.ts'
import { CronJobs } from '../cron/cron-jobs.ts'
import { SharedTimers } from '../timer.ts'
import { SharedTasks } from '../tasks/shared-tasks.ts'
import { configuredTables, type Tables } from '../table/configured-tables.ts'
import { PushServer } from '../websocket/push.ts'

/** The running server as a worker thread sees it: figures are read here, everything that acts is done by the master. */
export class WorkerServer extends PushServer implements Server {
  readonly name: string
  readonly version: string | undefined
  readonly worker: WorkerInfo
  readonly timer: SharedTimers = new SharedTimers(native, () => this.coreServer())
  readonly tasks: SharedTasks = new SharedTasks(native, () => this.coreServer())
  readonly cron: CronJobs = new CronJobs(native, () => this.coreServer())
  readonly ports: readonly Port[]
  readonly tables: Tables
  readonly signal: AbortSignal
  readonly #boot: Boot
  readonly #board: Board
  readonly #link: MasterLink
  readonly #lifecycle: Lifecycle
  #runtime: Pick<WorkerRuntime, 'worker' | 'announce' | 'respond'> | undefined

  constructor(boot: Boot, worker: WorkerInfo, link: MasterLink, lifecycle: Lifecycle, signal: AbortSignal) {
    super(native)
    this.name = boot.serverName
    this.version = boot.version
    this.worker = worker
    this.ports = portsFrom(boot.ports, this.reach())
    this.tables = configuredTables(boot.tables)
    this.signal = signal
    this.#boot = boot
    this.#board = new Board(boot.board)
    this.#link = link
    this.#lifecycle = lifecycle
  }

  get url(): string {
    return this.port().url
  }

  port(name: string | number = 0): Port {
    return findPort(this.ports, name)
  }

  stats(): ServerStats {
    return serverStats(this.#board, coreStats(native, this.#boot.server), this.#versionOf)
  }

  health(): HealthReport {
    return healthReport(this.#board, coreStats(native, this.#boot.server), this.#versionOf, false)
  }

  async respond(request: DetachedRequest, response: Response): Promise<boolean> {
    return this.#runtime === undefined ? false : this.#runtime.respond(request, response)
  }

  postMessage(to: Receiver, data: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.#link.send(to, data, transfer)
  }

  process(name: string): ProcessHandle {
    return processHandle(name, this.#boot.processes, this.#link)
  }

  async processes(): Promise<readonly ProcessInfo[]> {
    return (await this.#link.ask({ op: 'infos' })) as readonly ProcessInfo[]
  }

  on<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>, options?: { signal?: AbortSignal; once?: boolean }): this {
    this.#lifecycle.on(event, handler, options)
    return this
  }

  off<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>): this {
    this.#lifecycle.off(event, handler)
    return this
  }

  /** `signal` cannot cross threads; it only ends the waiting here. */
  async reload({ only, version, signal }: ReloadOptions = {}): Promise<ReloadResult> {
    signal?.throwIfAborted()
    const result = await this.#link.call({ method: 'reload', version, only })
    const { ok = false, rolledBack = false, error } = result ?? {}
    return { ok, rolledBack, ...(error && { error: fromRecord(error) }) }
  }

  async stopWorker(id: number = this.#boot.id): Promise<void> {
    await this.#link.call({ method: 'stopWorker', worker: id })
  }

  async shutdown({ timeout }: { timeout?: number } = {}): Promise<void> {
    await this.#link.call({ method: 'shutdown', timeout })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  /** The thread serves, and sends by its own lanes from now on. */
  attached(runtime: Pick<WorkerRuntime, 'worker' | 'announce' | 'respond'>): void {
    this.#runtime = runtime
  }

  protected coreServer(): number {
    return this.#boot.server
  }

  protected coreWorker(): number {
    return this.#runtime?.announce() ? this.#runtime.worker : -1
  }

  /** A worker knows the version of its own generation only. */
  readonly #versionOf = (generation: number): string | undefined => (generation === this.#boot.generation ? this.#boot.version : undefined)
}
