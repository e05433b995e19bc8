import { sluiceError, sluiceTypeError } from '../errors.ts'
import { native as binding, type NativeCron, type NativePush, type NativeServer, type NativeTasks, type NativeTimers } from '../native.ts'
import { toNativeConfig, type ResolvedConfig } from '../options.ts'
import { findPort, portsFrom, type Port } from '../port.ts'
import type { DetachedRequest } from '../http/detached.ts'
import type { HealthReport, LifecycleEvents, LifecycleHandler, ReloadOptions, ReloadResult, Server, ServerStats, StartReason, WorkerInfo } from './api.ts'
import { Board } from './board.ts'
import { systemClock, within } from './clock.ts'
import { Core } from './core.ts'
import type { ChildCalls } from './custom/child-calls.ts'
import type { TaskRelay } from './custom/task-relay.ts'
import { processHandle } from './custom/handle.ts'
import { Processes, type Birth, type ProcessCaller } from './custom/processes.ts'
import type { Runner } from './custom/runner.ts'
import type { ProcessHandle, ProcessInfo } from './custom/spec.ts'
import { fromRecord, toRecord } from './error-record.ts'
import { lookUp, type Generation } from './generation.ts'
import { Lifecycle } from './lifecycle.ts'
import { cloneMessage, toCallResult, type Call, type CallResult, type PortRecord, type MasterMessage, type Receiver, type WorkerMessage } from './messages.ts'
import type { Place } from './place.ts'
import { checkThreads, placesOf, reloadKinds } from './places.ts'
import { dropPrivileges } from './privileges.ts'
import { JoinedRuns } from './reload.ts'
import { enter, leave } from './running.ts'
import { healthReport, serverStats } from './stats.ts'
import { Supervisor } from './supervisor.ts'
import { ThreadHandle, type ThreadOptions, type WorkerHandle } from './worker-handle.ts'
import { CronJobs } from '../cron/cron-jobs.ts'
import { SharedTimers } from '../timer.ts'
import { deliverySettings, TaskClient } from '../tasks/client.ts'
import { openInbox, type InboxOptions } from '../tasks/inbox.ts'
import { enterClient, leaveClient } from '../tasks/registry.ts'
import { SharedTasks } from '../tasks/shared-tasks.ts'
import { definedTables } from '../table/define-table.ts'
import { configuredTables, openTables, type Tables } from '../table/configured-tables.ts'
import { PushServer } from '../websocket/push.ts'

/** The configured events that happen in the master; the others belong to the workers. */
const MASTER_EVENTS = ['serverStart', 'listening', 'beforeShutdown', 'serverStop', 'workerError', 'processStart', 'processStop', 'processError', 'processOutput', 'beforeReload', 'afterReload', 'message', 'error'] as const
const WORKER_EVENTS = ['workerStart', 'workerExit', 'workerStop'] as const

/** What the `serverStop` handlers get, in milliseconds: the last wait of a shutdown is bounded, too. */
const STOP_HOOK_MS = 5_000

/** Who a message came from, and who gets the answer. */
interface Sender {
  readonly id: number
  readonly caller: ProcessCaller
  post(message: MasterMessage): void
}

/** A configuration that names an application. */
export type MasterConfig = ResolvedConfig & { readonly app: string }

/** The server in its main thread: owns the core and the worker threads, and runs no user code but lifecycle handlers. */
export class Master extends PushServer implements Server {
  readonly name: string
  readonly worker: undefined
  readonly timer: SharedTimers
  readonly tasks: SharedTasks
  readonly #taskClient: TaskClient
  readonly cron: CronJobs
  readonly tables: Tables
  readonly #config: MasterConfig
  readonly #native: NativeServer
  readonly #lifecycle = new Lifecycle(undefined)
  readonly #board = new Board()
  readonly #stopping = new AbortController()
  readonly #hurry = new AbortController()
  readonly #reloads = new JoinedRuns((options: ReloadOptions) => this.#reload(options), joinReloads)
  readonly #versions = new Map<number, string | undefined>()
  readonly #places: readonly Place[]
  readonly #supervisor: Supervisor
  readonly #processes: Processes
  #births: typeof import('./custom/bear.ts') | undefined
  #core: Core | undefined
  #portRecords: readonly PortRecord[] = []
  #ports: readonly Port[] = []
  #generations = 0
  #lastReload = 0
  #shutdown: Promise<void> | undefined
  #releaseTables: (() => void) | undefined
  #ownTables: readonly string[] = []
  #closeInbox: (() => void) | undefined
  #closeRelay: (() => void) | undefined
  #relay: TaskRelay | undefined

  /** @throws ERR_SLUICE_INVALID_OPTION for functions that could not reach the workers */
  constructor(config: MasterConfig, native: NativeServer & NativePush & NativeTimers & NativeTasks & NativeCron = binding) {
    super(native)
    this.timer = new SharedTimers(native, () => this.coreServer(), () => this.#taskClient)
    this.cron = new CronJobs(native, () => this.coreServer())
    this.tasks = new SharedTasks(native, () => this.coreServer())
    this.#taskClient = new TaskClient({
      native,
      server: () => this.coreServer(),
      ...deliverySettings(config.tasks),
      report: (error) => this.#lifecycle.report(error, 'task'),
      classes: 'ignore',
      open: () => void (this.#closeInbox = this.#openInbox(this.#taskClient)),
    })
    refuseUnreachable(config)
    this.#config = config
    this.#native = native
    this.name = config.name ?? 'sluice'
    this.tables = configuredTables(config.tables)
    this.#lifecycle.configure(config.lifecycle, MASTER_EVENTS)
    this.#places = placesOf(config)
    const { maxWaitTime, reload } = config
    this.#supervisor = new Supervisor({
      places: this.#places,
      spawn: (place, generation, reason) => this.#spawn(place, generation, reason),
      activate: (slot, place) => this.#activate(slot, place),
      drain: (slot, reason) => this.#core?.drain(slot, reason),
      usage: (worker) => this.#usage(worker),
      clock: systemClock,
      maxWaitTime,
      drainGrace: reload.drainGrace,
      concurrency: reload.concurrency,
      rollback: reload.rollback,
      events: {
        serving: (worker) => {
          this.#board.setStatus(worker.slot, 'serving')
          void this.#lifecycle.tell('workerStart', { ...this.#info(worker, 'idle'), reason: worker.reason })
        },
        leaving: (worker) => {
          this.#board.setStatus(worker.slot, 'exiting')
          void this.#lifecycle.tell('workerExit', this.#info(worker, 'exiting'), AbortSignal.abort())
        },
        left: (worker) => void this.#lifecycle.tell('workerStop', this.#info(worker, 'exiting')),
        died: (worker, death) => {
          this.#board.count('crashes')
          if (death.reason === 'stuck') this.#board.count('stuck')
          void this.#lifecycle.tell('workerError', { worker: this.#info(worker, 'exiting'), ...death })
        },
        condemned: (restored) => {
          void this.#lifecycle.tell('afterReload', { ok: false, rolledBack: restored, ms: performance.now() - this.#lastReload })
        },
      },
    })
    const count = (): void => void (this.#board.processes = this.#processes.infos.filter(({ status }) => status === 'running').length)
    this.#processes = new Processes({
      specs: config.processes,
      firstId: this.#places.length,
      maxWaitTime,
      spawn: (birth) => this.#bear(birth),
      receive: (message, unit) => this.#receive(message, { id: unit.id, caller: unit, post: (reply) => unit.post(reply) }),
      events: {
        started: (info) => {
          count()
          void this.#lifecycle.tell('processStart', info)
        },
        stopped: (info) => {
          count()
          void this.#lifecycle.tell('processStop', info)
        },
        failed: (event) => {
          count()
          if (event.reason === 'stuck') this.#board.count('processesStuck')
          void this.#lifecycle.tell('processError', event)
        },
      },
    })
    checkThreads(this.#places.length + this.#processes.threads)
  }

  /**
   * Binds, starts the workers, accepts. Settles when all workers serve. When it rejects, nothing is left running.
   * @throws ERR_SLUICE_LISTEN, ERR_SLUICE_WORKER_START, or what a `serverStart` handler threw
   */
  async start(): Promise<void> {
    const core = new Core(this.#native, toNativeConfig(this.#config), (error, phase, task) => this.#lifecycle.report(error, phase, { task }))
    this.#core = core
    enter(this)
    enterClient(this.#taskClient)
    try {
      dropPrivileges(this.#config, this.#native)
      this.#ownTables = definedTables()
      this.#releaseTables = await openTables(this.tables, this.#config.namedStateDir, (error) => this.#lifecycle.report(error, 'tables'))
      this.#portRecords = core.ports()
      this.#ports = portsFrom(this.#portRecords, this.reach())
      for (const { error } of this.#ports) if (error !== undefined) this.#lifecycle.report(error, 'listen')
      await this.#lifecycle.run('serverStart', this)
      const generation = this.#nextGeneration(this.#config.version)
      if (this.#processes.names.length > 0) this.#births = await import('./custom/bear.ts')
      this.#processes.check(generation)
      await this.#supervisor.start(generation, () => {
        core.accept()
        void this.#lifecycle.tell('listening', this)
      })
      this.#processes.start(generation)
    } catch (error) {
      this.#stopping.abort(error)
      this.#closeInbox?.()
      this.#closeRelay?.()
      core.release()
      this.#releaseTables?.()
      leave(this)
      leaveClient(this.#taskClient)
      throw error
    }
  }

  get version(): string | undefined {
    return this.#supervisor.generation?.version ?? this.#config.version
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

  on<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>, options?: { signal?: AbortSignal; once?: boolean }): this {
    this.#lifecycle.on(event, handler, options)
    return this
  }

  off<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>): this {
    this.#lifecycle.off(event, handler)
    return this
  }

  process(name: string): ProcessHandle {
    return processHandle(name, this.#processes.names, this.#processes)
  }

  processes(): Promise<readonly ProcessInfo[]> {
    return Promise.resolve(this.#processes.infos)
  }

  async respond(_request: DetachedRequest, _response: Response): Promise<boolean> {
    throw sluiceError('ERR_SLUICE_INVALID_STATE', 'server.respond() is for workers; send what the answer is made of to one with server.postMessage()')
  }

  postMessage(to: Receiver, data: unknown, transfer: readonly ArrayBuffer[] = []): void {
    if (transfer.length > 0 && typeof to !== 'number' && to !== 'main') {
      throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A transfer needs a single receiver, got "${to}"`)
    }
    if (to === 'main') void this.#lifecycle.tell('message', 'main', cloneMessage(data, transfer))
    else this.#route('main', to, data, transfer)
  }

  async reload(options: ReloadOptions = {}): Promise<ReloadResult> {
    this.#refuseWhenStopping()
    reloadKinds(options.only)
    return this.#reloads.call(options)
  }

  async stopWorker(id?: number): Promise<void> {
    this.#refuseWhenStopping()
    const last = this.#places.length + this.#processes.units.length - 1
    if (id === undefined || !Number.isInteger(id) || id < 0 || id > last) {
      throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`id\` must be a worker, 0 to ${last}, got ${String(id)}`)
    }
    const process = this.#processes.units[id - this.#places.length]
    if (process) await process.instance.again('stop')
    else await this.#supervisor.replace(id)
  }

  /** `closeCode`: what WebSockets are closed with; for the `sluice` command, which knows whether the server comes back. @default 1001 */
  shutdown({ closeCode, timeout = this.#config.maxWaitTime }: { closeCode?: number; timeout?: number } = {}): Promise<void> {
    const cancel = systemClock.after(timeout, () => this.#hurry.abort())
    this.#shutdown ??= this.#stop(timeout, closeCode)
    return this.#shutdown.finally(cancel)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  /**
   * The dispatcher stays open until the last connection is done: a request that was read before the end of accepting has
   * to find a worker. Only then, or when the time is over, the workers go: those that answer first, as what they still do may
   * need the others; then those that run tasks, which have the rest of the time for the calls in their hands; then all others.
   */
  async #stop(timeout: number, closeCode: number | undefined): Promise<void> {
    const core = this.#started()
    await within(systemClock, timeout, this.#lifecycle.tell('beforeShutdown', this), this.#hurry.signal)
    this.#stopping.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping'))
    this.#supervisor.freeze()
    this.#processes.freeze()
    const start = performance.now()
    const stopped = core.stop(this.#config.reload.drainGrace, closeCode)
    for (const worker of this.#supervisor.servingOf('worker')) worker.drain('shutdown')
    await within(systemClock, timeout, stopped, this.#hurry.signal)
    // While all workers are there: tasks may be for any of them, and may deliver tasks.
    await within(systemClock, Math.max(0, timeout - (performance.now() - start)), core.finishTasks(), this.#hurry.signal)
    for (const kind of ['worker', 'task', 'cron'] as const) {
      await this.#supervisor.stop(kind, Math.max(0, timeout - (performance.now() - start)), this.#hurry.signal)
    }
    await this.#processes.stop(Math.max(0, timeout - (performance.now() - start)), this.#hurry.signal)
    this.#closeInbox?.()
    this.#closeRelay?.()
    core.release()
    await within(systemClock, STOP_HOOK_MS, this.#lifecycle.tell('serverStop', this))
    this.#releaseTables?.()
    leave(this)
    leaveClient(this.#taskClient)
  }

  async #reload({ only, version, signal }: ReloadOptions): Promise<ReloadResult> {
    const start = performance.now()
    const outcome = async (): Promise<ReloadResult & { settled?: Promise<void> }> => {
      this.#refuseWhenStopping()
      await this.#lifecycle.run('beforeReload', { version, only })
      this.#started().renewCertificates()
      const generation = this.#nextGeneration(version ?? this.version)
      const kinds = reloadKinds(only)
      const result = await this.#supervisor.reload(generation, signal, kinds)
      if (!result.ok || !(kinds?.has('process') ?? true)) return result
      // Not before the others serve the new code: a process is there once, and its end cannot be taken back.
      return { ...result, settled: Promise.all([result.settled, this.#processes.reload(generation)]).then(() => undefined) }
    }
    const { settled, ...result } = await outcome().catch((error: unknown) => ({
      ok: false as const,
      rolledBack: false as const,
      error: error instanceof Error ? error : sluiceError('ERR_SLUICE_WORKER_START', 'The reload failed', { cause: error }),
      settled: undefined,
    }))
    if (result.ok) {
      this.#lastReload = start
      this.#board.count('reloads')
    }
    const tell = (): void => void this.#lifecycle.tell('afterReload', { ...result, ms: performance.now() - start })
    if (settled) void settled.then(tell)
    else tell()
    return result
  }

  protected coreServer(): number {
    return this.#started().server
  }

  /** The master is no worker. */
  protected coreWorker(): number {
    return -1
  }

  #nextGeneration(version: string | undefined): Generation {
    this.#generations += 1
    const generation = lookUp(this.#config, this.#generations, version)
    this.#versions.set(generation.number, version)
    // Threads of the last few generations are all that can still be around.
    this.#versions.delete(generation.number - VERSIONS_KEPT)
    return generation
  }

  #spawn(place: Place, generation: Generation, reason: StartReason): WorkerHandle {
    return this.#enter(new ThreadHandle({ ...this.#threadOptions(place, generation, reason), receive: (message, from) => this.#receive(message, { id: from.id, caller: callerOf(from), post: (reply) => from.post(reply) }) }))
  }

  /** The master hears of the tasks that it delivers, and of those of its child processes; until one does, there is nothing to attach it for. */
  #openInbox(client: InboxOptions['client']): () => void {
    const core = this.#started()
    const slot = core.createWorker(() => {})
    return openInbox({ native: binding, server: core.server, slot, client, report: (error) => this.#lifecycle.report(error, 'bridge') })
  }

  /** What answers the calls of one run of a process of its own. */
  #callsFor(post: (message: MasterMessage) => void): ChildCalls {
    const { ChildCalls, TaskRelay } = this.#births!
    const server = (): number => this.coreServer()
    this.#relay ??= new TaskRelay(binding, server, (relay) => void (this.#closeRelay = this.#openInbox(relay)))
    return new ChildCalls({ native: binding, server, tasks: this.#relay, stats: () => this.stats(), health: () => this.health(), post })
  }

  /** Puts it on the board until its end. */
  #enter<T extends WorkerHandle>(worker: T): T {
    const stay = this.#board.enter(worker.slot, worker.place, worker.generation.number)
    void worker.exited.then(() => this.#board.leave(worker.slot, stay))
    return worker
  }

  /** A run of a custom process; `births` is there when there are any. */
  #bear(birth: Birth): Runner {
    const { generation } = birth
    return this.#births!.bear({
      ...birth,
      config: this.#config,
      serverName: this.name,
      ports: this.#portRecords,
      ownTables: this.#ownTables,
      tasks: deliverySettings(this.#config.tasks),
      calls: (post) => this.#callsFor(post),
      threadOptions: (place) => this.#threadOptions(place, generation, 'start'),
      enter: (thread) => void this.#enter(thread),
      activate: ({ place, slot }) => {
        this.#activate(slot, place)
        this.#board.setStatus(slot, 'serving')
      },
      output: (output) => {
        if (this.#lifecycle.has('processOutput')) return this.#lifecycle.tell('processOutput', output)
        process[output.stream].write(`${output.process}: ${output.line}\n`)
      },
    })
  }

  #threadOptions(place: Place, generation: Generation, reason: StartReason): Omit<ThreadOptions, 'receive'> {
    const { compression, core: { affinity }, cron, decompression, env, reload, resourceLimits, source, uploads } = this.#config
    const core = this.#started()
    return {
      entry: new URL('./worker-main.js', import.meta.url),
      place,
      boot: {
        server: core.server,
        reason,
        generation: generation.number,
        app: generation.app,
        root: generation.root,
        configFile: source,
        serverName: this.name,
        version: generation.version,
        env,
        codings: compression === false ? [] : compression.encodings,
        cronFiles: cron?.files ?? [],
        decodes: decompression,
        formFields: uploads.fields,
        // Worker i sits where reactor i sits: waking a thread on the same core is many times cheaper than on another.
        cpu: place.kind === 'worker' && affinity.length > 0 ? affinity[place.index % affinity.length] : undefined,
        ports: this.#portRecords,
        tables: this.#config.tables,
        tasks: { files: this.#config.tasks.files, ...deliverySettings(this.#config.tasks) },
        board: this.#board.buffer,
        processes: this.#processes.names,
      },
      generation,
      reason,
      resourceLimits,
      startTimeout: reload.startTimeout,
      core,
      clock: systemClock,
    }
  }

  #activate(slot: number, { id, role }: Place): void {
    try {
      this.#core?.activate(slot, id, role)
    } catch (error) {
      // It died between its `ready` and now. Its end is on its way, and the seat is filled again then.
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_SLUICE_INVALID_STATE')) throw error
    }
  }

  #receive(message: WorkerMessage, worker: Sender): void {
    switch (message.type) {
      case 'error': {
        const error = fromRecord(message.error)
        if (message.more > 0) error.message += ` (and ${message.more} more errors before it)`
        this.#lifecycle.report(error, message.phase, { worker: worker.id, task: message.task })
        break
      }
      case 'message':
        if (message.to === 'main') void this.#lifecycle.tell('message', worker.id, message.data)
        else this.#route(worker.id, message.to, message.data, [])
        break
      case 'call':
        if (message.method === 'process') {
          void this.#processes.call(message.call, worker.caller, message.id).then(
            (value) => worker.post({ type: 'reply', id: message.id, error: undefined, result: undefined, value }),
            (error: unknown) => worker.post({ type: 'reply', id: message.id, error: toRecord(error), result: undefined }),
          )
          break
        }
        void this.#answer(message, worker).then(
          (result) => worker.post({ type: 'reply', id: message.id, error: undefined, result }),
          (error: unknown) => worker.post({ type: 'reply', id: message.id, error: toRecord(error), result: undefined }),
        )
        break
    }
  }

  async #answer(call: Exclude<Call, { method: 'process' }>, worker: Pick<Sender, 'id'>): Promise<CallResult | undefined> {
    switch (call.method) {
      case 'reload':
        return toCallResult(await this.reload({ version: call.version, only: call.only }))
      case 'stopWorker':
        await this.stopWorker(call.worker)
        return undefined
      case 'shutdown':
        // Answered when it has begun: the caller itself has to end before it can be complete.
        void this.shutdown(call.timeout === undefined ? {} : { timeout: call.timeout }).catch((error: unknown) => this.#lifecycle.report(error, 'shutdown', { worker: worker.id }))
        return undefined
    }
  }

  #route(from: number | 'main', to: Exclude<Receiver, 'main'>, data: unknown, transfer: readonly ArrayBuffer[]): void {
    for (const worker of [...this.#supervisor.serving, ...this.#processes.units]) {
      const isMeant = to === 'all' || (to === 'others' ? worker.id !== from : worker.id === to)
      if (!isMeant) continue
      try {
        worker.post({ type: 'message', from, data }, transfer)
      } catch (error) {
        // A worker that sends too fast hears of it; it must not harm the master.
        if (from === 'main') throw error
        this.#lifecycle.report(error, 'postMessage', { worker: from })
      }
    }
  }

  /** What counts as a request of a task worker is a task. */
  #usage({ place, slot }: WorkerHandle): { requests: number; heapBytes: number; ageMs: number } {
    const row = this.#board.row(slot)
    const requests = place.kind === 'task' ? row?.tasks : this.#started().stats().workers.find((worker) => worker.slot === slot)?.requests
    return { requests: requests ?? 0, heapBytes: row?.heapUsed ?? 0, ageMs: row && row.since > 0 ? Date.now() - row.since : 0 }
  }

  #info({ place: { id, kind, name }, threadId, generation }: Pick<WorkerHandle, 'place' | 'threadId' | 'generation'>, status: WorkerInfo['status']): WorkerInfo {
    return { id, kind, name, version: generation.version, threadId, status }
  }

  #started(): Core {
    if (this.#core) return this.#core
    throw sluiceError('ERR_SLUICE_INVALID_STATE', 'The server has not been started')
  }

  #refuseWhenStopping(): void {
    if (this.#shutdown) throw sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping')
    this.#started()
  }

  readonly #versionOf = (generation: number): string | undefined => this.#versions.get(generation)
}

/** A reload that stands for two: of everything that either was for. */
function joinReloads(earlier: ReloadOptions, later: ReloadOptions): ReloadOptions {
  const only = earlier.only === undefined || later.only === undefined ? undefined : [...new Set([...earlier.only, ...later.only])]
  return { ...later, only, version: later.version ?? earlier.version }
}

/** How many generations' versions are remembered, for {@link ServerStats}. */
const VERSIONS_KEPT = 64

/** Always the same one for a worker. */
function callerOf(worker: WorkerHandle): ProcessCaller {
  let caller = callers.get(worker)
  if (caller === undefined) callers.set(worker, (caller = { isAlive: () => worker.isAlive }))
  return caller
}

const callers = new WeakMap<WorkerHandle, ProcessCaller>()

/** Functions that run in workers have to be in a module that workers can load. */
function refuseUnreachable({ cleaners, cron, hooks, lifecycle, processes, source }: MasterConfig): void {
  if (source !== undefined) return
  const unreachable = [
    ...WORKER_EVENTS.filter((event) => lifecycle[event].length > 0).map((event) => `lifecycle.${event}`),
    ...(['requestReceived', 'responseGenerated'] as const).filter((hook) => hooks[hook]).map((hook) => `hooks.${hook}`),
    ...(cleaners.length > 0 ? ['cleaners'] : []),
    ...(cron !== undefined && cron.jobs.length > 0 ? ['cron.jobs'] : []),
    ...Object.entries(processes).flatMap(([name, { run }]) => (run === undefined ? [] : [`processes.${name}.run`])),
  ]
  if (unreachable.length === 0) return
  throw sluiceTypeError(
    'ERR_SLUICE_INVALID_OPTION',
    `${unreachable.join(', ')}: a function cannot be handed to worker threads; put it into a configuration file, or into a module (\`hooks\` of the app, \`server.on()\`, \`cron.files\`, the \`file\` of a process)`,
  )
}
