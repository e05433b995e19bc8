import { CronJobs } from '../cron/cron-jobs.ts'
import { native } from '../native.ts'
import { findPort, portsFrom, type Port } from '../port.ts'
import { SharedTasks } from '../tasks/shared-tasks.ts'
import { SharedTimers } from '../timer.ts'
import { PushServer } from '../websocket/push.ts'
import type { LifecycleEvents, LifecycleHandler, ReloadOptions, ReloadResult, WorkerInfo } from './api.ts'
import { processHandle, type ProcessName } from './custom/handle.ts'
import type { ProcessHandle, ProcessInfo } from './custom/spec.ts'
import { fromRecord } from './error-record.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { MasterLink } from './master-link.ts'
import type { PortRecord } from './messages.ts'

/** What a thread or a process is told of its server when it begins, and what it has by then. */
export interface LinkedServerOptions {
  readonly boot: { readonly serverName: string; readonly version: string | undefined; readonly id: number; readonly ports: readonly PortRecord[] }
  readonly processes: readonly ProcessName[]
  readonly worker: WorkerInfo
  readonly link: MasterLink
  readonly lifecycle: Lifecycle
  readonly signal: AbortSignal
}

/** The running server where it is not the master's: what acts is done by that, at the other end of a line. */
export abstract class LinkedServer extends PushServer {
  readonly name: string
  readonly version: string | undefined
  readonly worker: WorkerInfo
  readonly timer: SharedTimers = new SharedTimers(native, () => this.coreServer())
  readonly tasks: SharedTasks = new SharedTasks(native, () => this.coreServer())
  readonly cron: CronJobs = new CronJobs(native, () => this.coreServer())
  readonly ports: readonly Port[]
  readonly signal: AbortSignal
  readonly #id: number
  readonly #processes: readonly ProcessName[]
  readonly #link: MasterLink
  readonly #lifecycle: Lifecycle

  constructor({ boot, lifecycle, link, processes, signal, worker }: LinkedServerOptions) {
    super(native)
    this.name = boot.serverName
    this.version = boot.version
    this.worker = worker
    this.ports = portsFrom(boot.ports, this.reach())
    this.signal = signal
    this.#id = boot.id
    this.#processes = processes
    this.#link = link
    this.#lifecycle = lifecycle
  }

  get url(): string {
    return this.port().url
  }

  port(name: string | number = 0): Port {
    return findPort(this.ports, name)
  }

  process(name: string): ProcessHandle {
    return processHandle(name, this.#processes, this.#link)
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

  /** `signal` cannot leave the thread or the process; it only ends the waiting here. */
  async reload({ only, version, signal }: ReloadOptions = {}): Promise<ReloadResult> {
    signal?.throwIfAborted()
    const { error, ok = false, rolledBack = false } = (await this.#link.call({ method: 'reload', version, only })) ?? {}
    return { ok, rolledBack, ...(error && { error: fromRecord(error) }) }
  }

  async stopWorker(id: number = this.#id): Promise<void> {
    await this.#link.call({ method: 'stopWorker', worker: id })
  }

  async shutdown({ timeout }: { timeout?: number } = {}): Promise<void> {
    await this.#link.call({ method: 'shutdown', timeout })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }
}
