import { CronJobs } from '../../cron/cron-jobs.ts'
import { sluiceError } from '../../errors.ts'
import type { DetachedRequest } from '../../http/detached.ts'
import { native } from '../../native.ts'
import { findPort, portsFrom, type Port } from '../../port.ts'
import { attachTable } from '../../table/attach-table.ts'
import type { Tables } from '../../table/configured-tables.ts'
import { SharedTasks } from '../../tasks/shared-tasks.ts'
import { SharedTimers } from '../../timer.ts'
import { PushServer } from '../../websocket/push.ts'
import type { HealthReport, LifecycleEvents, LifecycleHandler, ReloadOptions, ReloadResult, Server, ServerStats, WorkerInfo } from '../api.ts'
import { fromRecord } from '../error-record.ts'
import type { Lifecycle } from '../lifecycle.ts'
import type { MasterLink } from '../master-link.ts'
import type { Receiver } from '../messages.ts'
import type { ChildBoot } from './child-boot.ts'
import { processHandle } from './handle.ts'
import type { ProcessHandle, ProcessInfo } from './spec.ts'
import type { SyncCalls } from './sync-calls.ts'

/** To the core the calls of a process of its own are the master's, which puts the server's number in. */
const NO_SERVER = 0
const NO_WORKER = -1

/** The running server as a Node.js process of its own sees it: as a thread does, but that native calls are made by the master, `remote-native.ts`. */
export class ChildServer extends PushServer implements Server {
  readonly name: string
  readonly version: string | undefined
  readonly worker: WorkerInfo
  readonly timer: SharedTimers = new SharedTimers(native, () => NO_SERVER)
  readonly tasks: SharedTasks = new SharedTasks(native, () => NO_SERVER)
  readonly cron: CronJobs = new CronJobs(native, () => NO_SERVER)
  readonly ports: readonly Port[]
  readonly tables: Tables
  readonly signal: AbortSignal
  readonly #boot: ChildBoot
  readonly #calls: Pick<SyncCalls, 'call'>
  readonly #link: MasterLink
  readonly #lifecycle: Lifecycle

  constructor(boot: ChildBoot, worker: WorkerInfo, tables: Tables, surroundings: { readonly calls: Pick<SyncCalls, 'call'>; readonly link: MasterLink; readonly lifecycle: Lifecycle; readonly signal: AbortSignal }) {
    super(native)
    this.name = boot.serverName
    this.version = boot.version
    this.worker = worker
    this.ports = portsFrom(boot.ports, this.reach())
    this.tables = tables
    this.signal = surroundings.signal
    this.#boot = boot
    this.#calls = surroundings.calls
    this.#link = surroundings.link
    this.#lifecycle = surroundings.lifecycle
  }

  get url(): string {
    return this.port().url
  }

  port(name: string | number = 0): Port {
    return findPort(this.ports, name)
  }

  stats(): ServerStats {
    return this.#calls.call('stats', []) as ServerStats
  }

  health(): HealthReport {
    return this.#calls.call('health', []) as HealthReport
  }

  async respond(_request: DetachedRequest, _response: Response): Promise<boolean> {
    throw sluiceError('ERR_SLUICE_INVALID_STATE', 'server.respond() is for workers; send what the answer is made of to one with server.postMessage()')
  }

  postMessage(to: Receiver, data: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.#link.send(to, data, [])
    // A copy has crossed; what was given away is given away.
    for (const buffer of transfer) structuredClone(buffer, { transfer: [buffer] })
  }

  process(name: string): ProcessHandle {
    return processHandle(name, this.#boot.names, this.#link)
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

  /** `signal` cannot leave the process; it only ends the waiting here. */
  async reload({ only, version, signal }: ReloadOptions = {}): Promise<ReloadResult> {
    signal?.throwIfAborted()
    const { error, ok = false, rolledBack = false } = (await this.#link.call({ method: 'reload', version, only })) ?? {}
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

  protected coreServer(): number {
    return NO_SERVER
  }

  protected coreWorker(): number {
    return NO_WORKER
  }
}

/** The files of the server's tables, where it has a state directory that was named; without, asking for one throws. */
export async function attachTables({ stateDir, tables }: Pick<ChildBoot, 'stateDir' | 'tables'>): Promise<Tables> {
  const attached: Record<string, unknown> = {}
  for (const [name, { columns, onOverflow }] of Object.entries(tables)) {
    if (stateDir !== undefined) attached[name] = await attachTable(name, { stateDir, columns, onOverflow })
    else {
      Object.defineProperty(attached, name, {
        get() {
          throw sluiceError('ERR_SLUICE_INVALID_STATE', 'The tables of a server can be attached by a process of its own only if its state directory is named: `stateDir`')
        },
      })
    }
  }
  return attached as Tables
}
