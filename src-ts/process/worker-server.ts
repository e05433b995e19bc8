import type { WorkerRuntime } from '../app.ts'
import type { DetachedRequest } from '../http/detached.ts'
import { native } from '../native.ts'
import { configuredTables, type Tables } from '../table/configured-tables.ts'
import type { HealthReport, Server, ServerStats, WorkerInfo } from './api.ts'
import { Board } from './board.ts'
import { coreStats } from './core.ts'
import type { Lifecycle } from './lifecycle.ts'
import { LinkedServer } from './linked-server.ts'
import type { MasterLink } from './master-link.ts'
import type { Boot, Receiver } from './messages.ts'
import { healthReport, serverStats } from './stats.ts'

/** The running server as a worker thread sees it: figures are read here, everything that acts is done by the master. */
export class WorkerServer extends LinkedServer implements Server {
  readonly tables: Tables
  readonly #boot: Boot
  readonly #board: Board
  readonly #link: MasterLink
  #runtime: Pick<WorkerRuntime, 'worker' | 'announce' | 'respond'> | undefined

  constructor(boot: Boot, worker: WorkerInfo, link: MasterLink, lifecycle: Lifecycle, signal: AbortSignal) {
    super({ boot, processes: boot.processes, worker, link, lifecycle, signal })
    this.tables = configuredTables(boot.tables)
    this.#boot = boot
    this.#board = new Board(boot.board)
    this.#link = link
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
