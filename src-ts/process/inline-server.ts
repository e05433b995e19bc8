import { threadId } from 'node:worker_threads'

import { resolveApp, startRuntime, type WorkerRuntime } from '../app.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { DetachedRequest } from '../http/detached.ts'
import { installGlobals } from '../http/globals.ts'
import { native } from '../native.ts'
import { toNativeConfig, type ResolvedConfig } from '../options.ts'
import { handledPorts } from '../port-handlers.ts'
import { findPort, portsFrom, type Port } from '../port.ts'
import type { HealthReport, LifecycleEvents, LifecycleHandler, ReloadOptions, ReloadResult, Server, ServerStats, WorkerInfo } from './api.ts'
import { Board } from './board.ts'
import { systemClock, within, type Cancel } from './clock.ts'
import { Core } from './core.ts'
import { countCalls } from './count-calls.ts'
import { processHandle } from './custom/handle.ts'
import type { ProcessHandle, ProcessInfo } from './custom/spec.ts'
import { Deferred } from './deferred.ts'
import { Lifecycle } from './lifecycle.ts'
import { requestFunctions } from './load-app.ts'
import { cloneMessage, type Receiver } from './messages.ts'
import { dropPrivileges } from './privileges.ts'
import { enter, leave } from './running.ts'
import { healthReport, serverStats } from './stats.ts'
import { keepVitals } from './vitals.ts'
import { CronJobs } from '../cron/cron-jobs.ts'
import { SharedTimers } from '../timer.ts'
import { deliverySettings, TaskClient } from '../tasks/client.ts'
import { registerExports } from '../tasks/register-exports.ts'
import { enterClient, leaveClient } from '../tasks/registry.ts'
import { SharedTasks } from '../tasks/shared-tasks.ts'
import { configuredTables, openTables, type Tables } from '../table/configured-tables.ts'
import { PushServer } from '../websocket/push.ts'

/** What the last work gets after its signal was aborted, in milliseconds. */
const ABORT_GRACE_MS = 250
/** What the last hooks get, in milliseconds. */
const HOOK_MS = 5_000

/**
 * A server whose only worker is the thread that started it: for scripts, tests and embedding. The way of a request is the same
 * as with worker threads; what is missing is supervision. An error outside a handler ends the process, as it does in any program.
 */
export class InlineServer extends PushServer implements Server {
  readonly name: string
  readonly version: string | undefined
  readonly worker: WorkerInfo
  readonly timer: SharedTimers = new SharedTimers(native, () => this.coreServer(), () => this.#taskClient)
  readonly tasks: SharedTasks = new SharedTasks(native, () => this.coreServer())
  readonly cron: CronJobs = new CronJobs(native, () => this.coreServer())
  readonly tables: Tables
  readonly #config: ResolvedConfig
  readonly #taskClient: TaskClient
  readonly #app: unknown
  readonly #lifecycle = new Lifecycle(0)
  readonly #board = new Board()
  readonly #stopping = new AbortController()
  readonly #hurry = new AbortController()
  readonly #gone = new Deferred()
  #core: Core | undefined
  #cancelVitals: Cancel | undefined
  #runtime: WorkerRuntime | undefined
  #ports: readonly Port[] = []
  #shutdown: Promise<void> | undefined
  #releaseTables: (() => void) | undefined

  /** `app`: anything that {@link resolveApp} takes. */
  constructor(app: unknown, config: ResolvedConfig) {
    super(native)
    this.#app = app
    this.#config = config
    this.name = config.name ?? 'sluice'
    this.version = config.version
    if (config.cron !== undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', '`cron` needs worker threads: start the server with `app`, the path of a module, instead of functions')
    if (Object.keys(config.processes).length > 0) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', '`processes` needs worker threads: start the server with `app`, the path of a module, instead of functions')
    this.tables = configuredTables(config.tables)
    this.#taskClient = new TaskClient({
      native,
      server: () => this.coreServer(),
      ...deliverySettings(config.tasks),
      report: (error) => this.#lifecycle.report(error, 'task'),
      classes: 'register',
    })
    this.#lifecycle.configure(config.lifecycle, Object.keys(config.lifecycle) as (keyof LifecycleEvents)[])
    const status = (): WorkerInfo['status'] => this.#status()
    this.worker = {
      id: 0,
      kind: 'worker',
      name: 'sluice-inline',
      version: config.version,
      threadId,
      get status() {
        return status()
      },
    }
  }

  /** Binds, attaches the calling thread, accepts. When it rejects, nothing is left running. @throws ERR_SLUICE_LISTEN, or what a hook threw */
  async start(): Promise<void> {
    const { compression, decompression, uploads } = this.#config
    const app = resolveApp(this.#app)
    // Nobody could replace the worker: the watchdog would only take its requests away.
    const core = new Core(native, toNativeConfig({ ...this.#config, stuckAfter: 0, tasks: withoutWorkers(this.#config.tasks) }), (error, phase) => this.#lifecycle.report(error, phase))
    this.#core = core
    enter(this)
    enterClient(this.#taskClient)
    try {
      const ports = core.ports()
      dropPrivileges(this.#config, native)
      this.#releaseTables = await openTables(this.tables, this.#config.namedStateDir, (error) => this.#lifecycle.report(error, 'tables'))
      this.#ports = portsFrom(ports, this.reach())
      for (const { error } of this.#ports) if (error !== undefined) this.#lifecycle.report(error, 'listen')
      if (typeof this.#app === 'object' && this.#app !== null) registerExports(this.#app)
      const { files } = this.#config.tasks
      if (files.length > 0) await (await import('../tasks/files.ts')).importTaskFiles(files, this.#config.root)
      await this.#lifecycle.run('serverStart', this)
      await this.#lifecycle.run('workerStart', { ...this.worker, status: 'starting', reason: 'start' })
      const slot = core.createWorker((notice) => {
        if (notice.type === 'gone') this.#gone.resolve()
      })
      this.#board.enter(slot, { id: 0, kind: 'worker', index: 0 }, 1)
      installGlobals()
      this.#runtime = startRuntime({
        native: countCalls(native, this.#board, slot),
        server: core.server,
        slot,
        ports,
        handled: handledPorts(app, ports),
        codings: compression === false ? [] : compression.encodings,
        decodes: decompression,
        formFields: uploads.fields,
        worker: this.worker,
        tasks: this.#taskClient,
        root: this.#config.root,
        ...requestFunctions(this.#config),
        report: (error, phase, _request, task) => this.#lifecycle.report(error, phase, { task }),
      })
      core.activate(slot, 0, 0)
      this.#board.setStatus(slot, 'serving')
      this.#cancelVitals = keepVitals(this.#board, slot)
      core.accept()
    } catch (error) {
      this.#runtime?.detach()
      core.release()
      this.#releaseTables?.()
      leave(this)
      leaveClient(this.#taskClient)
      throw error
    }
    await this.#lifecycle.tell('listening', this)
  }

  get url(): string {
    return this.port().url
  }

  get ports(): readonly Port[] {
    return this.#ports
  }

  port(name: string | number = 0): Port {
    return findPort(this.#ports, name)
  }

  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  stats(): ServerStats {
    return serverStats(this.#board, this.#started().stats(), this.#versionOf)
  }

  health(): HealthReport {
    return healthReport(this.#board, this.#started().stats(), this.#versionOf, this.#shutdown !== undefined)
  }

  async respond(request: DetachedRequest, response: Response): Promise<boolean> {
    return this.#runtime === undefined ? false : this.#runtime.respond(request, response)
  }

  /** Master and only worker are this thread: a message to `main`, `all` or 0 comes back to it. */
  postMessage(to: Receiver, data: unknown, transfer: readonly ArrayBuffer[] = []): void {
    const copy = cloneMessage(data, transfer)
    if (to === 'main' || to === 'all' || to === 0) void this.#lifecycle.tell('message', 'main', copy)
  }

  process(name: string): ProcessHandle {
    return processHandle(name, [], { ask: () => Promise.reject(notInline('process()')) })
  }

  processes(): Promise<readonly ProcessInfo[]> {
    return Promise.resolve([])
  }

  on<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>, options?: { signal?: AbortSignal; once?: boolean }): this {
    this.#lifecycle.on(event, handler, options)
    return this
  }

  off<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>): this {
    this.#lifecycle.off(event, handler)
    return this
  }

  reload(_options?: ReloadOptions): Promise<ReloadResult> {
    return Promise.reject(notInline('reload()'))
  }

  stopWorker(_id?: number): Promise<void> {
    return Promise.reject(notInline('stopWorker()'))
  }

  shutdown({ timeout = this.#config.maxWaitTime }: { timeout?: number } = {}): Promise<void> {
    const cancel = systemClock.after(timeout, () => this.#hurry.abort())
    this.#shutdown ??= this.#stop(timeout)
    return this.#shutdown.finally(cancel)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  async #stop(timeout: number): Promise<void> {
    const core = this.#started()
    const hurry = this.#hurry.signal
    await within(systemClock, timeout, this.#lifecycle.tell('beforeShutdown', this), hurry)
    this.#stopping.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping'))
    // What was sent up to here is flushed with the tick; the core is told to stop behind it.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    const stopped = core.stop(this.#config.reload.drainGrace)
    const exitHooks = this.#lifecycle.tell('workerExit', this.worker, this.#stopping.signal)
    const settled = Promise.all([exitHooks, stopped.then(() => core.finishTasks()).then(() => this.#runtime?.settled())])
    if (!(await within(systemClock, timeout, settled, hurry))) {
      this.#runtime?.abort(this.#stopping.signal.reason)
      await within(systemClock, ABORT_GRACE_MS, settled)
    }
    await within(systemClock, HOOK_MS, this.#lifecycle.tell('workerStop', this.worker))
    this.#runtime?.detach()
    this.#cancelVitals?.()
    await within(systemClock, ABORT_GRACE_MS, this.#gone.promise)
    core.release()
    await within(systemClock, HOOK_MS, this.#lifecycle.tell('serverStop', this))
    this.#releaseTables?.()
    leave(this)
    leaveClient(this.#taskClient)
  }

  protected coreServer(): number {
    return this.#started().server
  }

  protected coreWorker(): number {
    return this.#runtime?.announce() ? this.#runtime.worker : -1
  }

  #status(): WorkerInfo['status'] {
    if (this.#stopping.signal.aborted) return 'exiting'
    if (this.#runtime === undefined) return 'starting'
    return this.#runtime.inflight() > 0 ? 'busy' : 'idle'
  }

  #started(): Core {
    if (this.#core) return this.#core
    throw sluiceError('ERR_SLUICE_INVALID_STATE', 'The server has not been started')
  }

  readonly #versionOf = (): string | undefined => this.version
}

/** For {@link InlineServer}: there is no code to load again and no thread to replace. */
function notInline(call: string): Error {
  return sluiceError('ERR_SLUICE_INVALID_STATE', `${call} needs worker threads: start the server with \`app\`, the path of a module, instead of functions`)
}

/** Tasks are run by the one worker that there is: what waited for another would wait for ever. */
function withoutWorkers({ queues, ...tasks }: ResolvedConfig['tasks']): ResolvedConfig['tasks'] {
  return { ...tasks, workers: 0, queues: queues.map((queue) => ({ ...queue, workers: 0 })) }
}
