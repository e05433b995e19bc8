/**
 * The public shape of a running server. The master, the inline server and the server as a worker sees it all have it;
 * `src-ts/server.ts` hands it to the user.
 */
import type { DetachedRequest } from '../http/detached.ts'
import type { Port } from '../port.ts'
import type { CronJobs } from '../cron/cron-jobs.ts'
import type { ProcessErrorEvent, ProcessHandle, ProcessInfo, ProcessOutput } from './custom/spec.ts'
import type { SharedTimers } from '../timer.ts'
import type { SharedTasks } from '../tasks/shared-tasks.ts'
import type { Tables } from '../table/configured-tables.ts'
import type { PushServer } from '../websocket/push.ts'

/** Structured-cloneable. */
export type Cloneable = unknown
export type Awaitable<T> = T | Promise<T>

/** Why a worker was started. `start`: with the server; `reload`: new code; the others replace a worker that ended. */
export type StartReason = 'start' | 'reload' | 'crash' | 'stuck' | 'recycle'

/** What a worker is for. `worker`: it answers; `task`: it runs tasks; `cron`: it runs cron jobs; `process`: a custom process on a thread. */
export type WorkerKind = 'worker' | 'task' | 'cron' | 'process'

/** Workers that a reload can be limited to, by their kind. */
export type ReloadTarget = 'workers' | 'tasks' | 'cron' | 'processes'

/** One worker, as hooks, `ctx.worker` and {@link HealthReport} show it. */
export interface WorkerInfo {
  /**
   * The place in the server: 0 … workers - 1 are those that answer, then come task workers, the cron worker and the processes that are
   * threads. A replacement has the id of the worker it replaces.
   */
  readonly id: number
  readonly kind: WorkerKind
  /** The name of the OS thread: `sluice-w0`, `sluice-t0`, `sluice-cron`, `sluice-p0`. */
  readonly name: string
  /** `reload({ version })` or `-x`; undefined when none was given. */
  readonly version: string | undefined
  /** Node's number of the thread; 0 is the main thread. */
  readonly threadId: number
  readonly status: 'starting' | 'idle' | 'busy' | 'exiting'
}

/** Why a worker ended unasked. `stuck` also: it did not stop in time. */
export type DeathReason = 'throw' | 'reject' | 'exit' | 'oom' | 'stuck' | 'start-failed'

/** A worker ended unasked. The other workers and all connections are untouched. */
export interface WorkerErrorEvent {
  readonly worker: WorkerInfo
  readonly reason: DeathReason
  /** What the thread ended with; -1 for a stuck one, which did not end by itself. */
  readonly exitCode: number
  /** What was thrown, with its stack, when something was. */
  readonly error: Error | undefined
  /** Requests in its hands when it died. */
  readonly inflight: number
  /** How many of them another worker got. The others were answered with 503. */
  readonly replayed: number
}

export interface ReloadOptions {
  /** The new value of `server.version` and of `X_VERSION` in the new workers. @default unchanged */
  readonly version?: string | undefined
  /** Gives the reload up as long as no new worker serves. */
  readonly signal?: AbortSignal | undefined
  /** Only these; the others go on with the code they have. @default all */
  readonly only?: readonly ReloadTarget[] | undefined
}

export interface ReloadResult {
  /** True: the new code serves every new request. False: the old code goes on everywhere. */
  readonly ok: boolean
  /** The new code was taken back after it had served, because of `reload.rollback`. */
  readonly rolledBack: boolean
  /** Why not `ok`: ERR_SLUICE_WORKER_START with what the new code threw as `cause`. */
  readonly error?: Error
}

export interface ReloadReport extends ReloadResult {
  /** From the call to the end of the last old worker, in milliseconds. */
  readonly ms: number
}

export interface ErrorSource {
  /** The hook, or the part of the work: `fetch`, `after`, `workerStop`, … */
  readonly phase: string
  /** The worker it happened in; undefined in the master. */
  readonly worker: number | undefined
  /** The name of the task, the event or the cron job that it is about, with the phases `task` and `cron`. */
  readonly task?: string
}

/** Events and the arguments of their handlers. Handlers of one event run one after the other and are awaited. */
export interface LifecycleEvents {
  /** Master: every port is bound, no worker exists yet. An error fails the start. */
  serverStart: [server: Server]
  /** Master: the first worker is ready and connections are accepted. */
  listening: [server: Server]
  /** Master: a shutdown began, everything still serves. */
  beforeShutdown: [server: Server]
  /** Master: everything has ended. */
  serverStop: [server: Server]
  /** Worker: its code is loaded, nothing served yet; an error fails its start. Master: it serves. */
  workerStart: [worker: WorkerInfo & { readonly reason: StartReason }]
  /** Worker and master: it gets nothing new and finishes what it has; `signal` is aborted. The place to clear timers. */
  workerExit: [worker: WorkerInfo, signal: AbortSignal]
  /** Worker: the last act of a worker that was asked to go. Master: it has gone. Not after a crash. */
  workerStop: [worker: WorkerInfo]
  /** Master: a worker ended unasked. */
  workerError: [event: WorkerErrorEvent]
  /** Master: a reload begins. An error ends it: the old code goes on. */
  beforeReload: [reload: { readonly version: string | undefined; readonly only: readonly ReloadTarget[] | undefined }]
  /**
   * Master: the last worker of the old code is gone, or the reload failed. Comes once more for the same reload when
   * `reload.rollback` condemned its code: then `ok` is false, and `rolledBack` says whether there was older code to go back to.
   */
  afterReload: [report: ReloadReport]
  /** Master: a custom process runs. */
  processStart: [process: ProcessInfo]
  /** Master: a custom process that was asked to go has gone. */
  processStop: [process: ProcessInfo]
  /** Master: a custom process came to its end without being asked to, or did not start. */
  processError: [event: ProcessErrorEvent]
  /** Master: a custom process that is no thread has written a line, to its standard output or error. Printed when there is no handler. */
  processOutput: [output: ProcessOutput]
  /** Somebody called `postMessage`. */
  message: [from: number | 'main', data: Cloneable]
  /** An error that nobody else could take: of a handler after its 500, of a hook. Printed when there is no handler. */
  error: [error: Error, source: ErrorSource]
}

export type LifecycleHandler<K extends keyof LifecycleEvents> = (...args: LifecycleEvents[K]) => Awaitable<void>

/** The file of durable tasks: what is in it, and what was done with it since the start. */
export interface TasksJournalStats {
  /** Bytes of the file. */
  readonly bytes: number
  /** Tasks in it, failed ones that are kept included. */
  readonly records: number
  /** Bytes of those. */
  readonly recordBytes: number
  /** What waits to be written. */
  readonly waiting: number
  /** Bytes that are neither stored nor refused; beyond 64 MiB tasks are not stored. */
  readonly waitingBytes: number
  /** Writes: each is all that came while the one before was written. */
  readonly commits: number
  /** How often the disk was waited for. */
  readonly fsyncs: number
  /** How long in all, in milliseconds. */
  readonly fsyncMs: number
  /** Times that the file was written anew, without what is over. */
  readonly rewrites: number
  /** Writes that failed. */
  readonly failedWrites: number
  /** Times that a task was not stored, because a write failed or too much waited. */
  readonly refused: number
  /** Bytes at the end of the file that were no whole write when the server started, as a kill or a crash may leave them. */
  readonly cut: number
}

export interface ServerStats {
  /** When the server started, milliseconds since the epoch. */
  readonly startTime: number
  /** Open connections. */
  readonly connections: number
  readonly acceptCount: number
  readonly closeCount: number
  /** Requests whose client left before the answer. */
  readonly abortCount: number
  readonly requestCount: number
  readonly responseCount: number
  /** Requests answered by `static`. They are no requests of the app and not counted as such. */
  readonly staticCount: number
  readonly dispatchCount: number
  /** Requests in flight. */
  readonly concurrency: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Requests given to a second worker because the first died. */
  readonly replayed: number
  /** Requests answered with an error because their worker died. */
  readonly refused: number
  /** WebSockets and event streams opened. */
  readonly socketOpenCount: number
  readonly socketCloseCount: number
  /** WebSocket messages received. */
  readonly messagesIn: number
  /** Messages sent to WebSockets and event streams. */
  readonly messagesOut: number
  /** Messages that a slow receiver missed. */
  readonly messagesDropped: number
  /** Messages whose handlers were running when their worker died. */
  readonly messagesLost: number
  /** Connections that a worker took over from another. */
  readonly adoptions: number
  /** Packets received by UDP ports; those that were dropped are counted in `rejected.packets`. */
  readonly packetsIn: number
  /** Packets sent; those that could not be are counted in `rejected.packetSends`. */
  readonly packetsOut: number
  /** Packets whose handlers were running when their worker died. */
  readonly packetsLost: number
  /** Shared timers that are set. */
  readonly timers: number
  /** Calls of tasks that wait for a worker. */
  readonly taskQueue: number
  /** Calls of tasks in the hands of workers. */
  readonly tasking: number
  /** Tasks that wait for their time, that of the next try included. */
  readonly tasksDelayed: number
  /** Tries that have begun, of tasks, calls of timers and runs of cron jobs. */
  readonly taskCount: number
  /** Those that are done. */
  readonly tasksDone: number
  /** Those that have failed, whichever way. */
  readonly tasksFailed: number
  /** Of those that have failed: too slow in the last try. */
  readonly tasksTimedOut: number
  /** Of those: the worker of the last try died, or the only one that might have run it did not come. */
  readonly tasksLost: number
  /** Of those: their worker did not know them. */
  readonly tasksUnknown: number
  /** Tries that have failed while others were left. */
  readonly tasksRetried: number
  /** Tasks that were cancelled. */
  readonly tasksCancelled: number
  /** Where `tasks.durable` keeps them; undefined without it. */
  readonly tasksJournal: TasksJournalStats | undefined
  /** Ticks of shared timers that were skipped: too late, or the call before was not over. */
  readonly ticksSkipped: number
  /** Cron jobs. */
  readonly cronJobs: number
  /** Runs of cron jobs that were handed to the cron worker. */
  readonly cronRuns: number
  /** Those of them that threw, took too long, or were lost with the cron worker. */
  readonly cronFailures: number
  /** Runs of cron jobs that were left out, as others of their job were not over. */
  readonly cronSkipped: number
  /** Runs of cron jobs that were left out, as it was too late for them. */
  readonly cronMissed: number
  /** Requests refused by the core, by the limit or rule that refused them. */
  readonly rejected: Readonly<Record<string, number>>
  /** Workers that serve: those that answer. */
  readonly workers: number
  readonly idleWorkers: number
  /** Task workers that are ready. */
  readonly taskWorkers: number
  /** Of those, workers without a call in their hands. */
  readonly idleTaskWorkers: number
  /** Custom processes that run. */
  readonly processes: number
  /** Custom processes that were killed because they hung, or did not go in their time. */
  readonly processesStuck: number
  /** Reloads whose code took over. */
  readonly reloads: number
  /** Workers that ended unasked, {@link ServerStats.stuck} included. */
  readonly crashes: number
  /** Workers the watchdog wrote off. */
  readonly stuck: number
  readonly perWorker: readonly WorkerStats[]
}

export interface WorkerStats {
  readonly id: number
  readonly kind: WorkerKind
  /** As {@link WorkerInfo.name}. */
  readonly name: string
  readonly requests: number
  /** Calls of tasks that it has begun. */
  readonly tasks: number
  /** Calls of tasks in its hands. */
  readonly tasking: number
  /** Requests in its hands. */
  readonly concurrency: number
  /** WebSockets and event streams that it owns. */
  readonly connections: number
  /** Used JavaScript heap in bytes, at most a second old. */
  readonly heapUsed: number
  /** Event loop utilization of the last second, 0 … 1. */
  readonly elu: number
  /** Milliseconds since it began to serve. */
  readonly uptime: number
  /** Undefined when none was given, or when it is not known in this thread. */
  readonly version: string | undefined
}

export interface HealthReport {
  /** The server runs. */
  readonly live: boolean
  /** Connections are accepted and at least one worker serves. */
  readonly ready: boolean
  readonly workers: readonly WorkerInfo[]
  /** Why not `ready`. */
  readonly reason?: string
}

/** How connections are reached, in every thread of a server. */
type PushMethods =
  | 'push' | 'send' | 'sendTo' | 'close' | 'reset' | 'exists' | 'isEstablished' | 'getConnection' | 'connections' | 'broadcast'
  | 'publish' | 'subscribers' | 'bindUid' | 'sendToUid' | 'sendToGroup' | 'isUidOnline' | 'kick'

/** The running server. In a worker thread the calls that concern the whole server are forwarded to the master. */
export interface Server extends AsyncDisposable, Pick<PushServer, PushMethods> {
  /** `config.name`. @default 'sluice' */
  readonly name: string
  readonly version: string | undefined
  /** The worker of the calling thread; undefined in the master. */
  readonly worker: WorkerInfo | undefined
  /** Of the first port, without a slash at its end: `http://127.0.0.1:5200`. */
  readonly url: string
  readonly ports: readonly Port[]
  /** By name or position. @default the first @throws ERR_SLUICE_INVALID_ARG when there is none */
  port(name?: string | number): Port
  /** The tables of the configuration, by name. */
  readonly tables: Tables
  /** In a worker: aborted when it must go (reload, recycle, shutdown). Elsewhere: when the server stops. */
  readonly signal: AbortSignal
  /** Timers of the whole server, which survive its workers. */
  readonly timer: SharedTimers
  /** Tasks of the whole server, for those who look after it. */
  readonly tasks: SharedTasks
  /** The cron jobs of this server: what is known of them, and running one now. */
  readonly cron: CronJobs

  stats(): ServerStats
  health(): HealthReport
  /**
   * Answers a request that `ctx.detach()` has let go of, in this worker or another. Resolves when the answer is handed over, a streamed one
   * when it has come to its end: false when the client has gone, the request was answered already, its time is up, or nobody knows it.
   * @throws TypeError ERR_SLUICE_INVALID_ARG for what is no detached request or no response; ERR_SLUICE_INVALID_STATE in the master, which
   * serves no requests: send the answer to a worker
   */
  respond(request: DetachedRequest, response: Response): Promise<boolean>
  /**
   * Sends a message to workers, of whichever kind, or to the master, where `message` handlers get it. Dropped when there is no such worker.
   * `transfer` needs a single receiver. @throws ERR_SLUICE_INVALID_ARG when it cannot be cloned,
   * ERR_SLUICE_INVALID_STATE when 65 536 messages to that worker are unread.
   */
  postMessage(to: number | 'all' | 'others' | 'main', data: Cloneable, transfer?: readonly ArrayBuffer[]): void
  on<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>, options?: { signal?: AbortSignal; once?: boolean }): this
  off<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>): this

  /**
   * Replaces the code of all workers, whatever their kind, without losing a request or a task. Settles when the new code serves everywhere, or has
   * failed everywhere; old workers finish what they hold in the background (`afterReload` tells when).
   * A call while a reload runs is joined with all others of that time into one reload afterwards.
   * @throws ERR_SLUICE_INVALID_STATE in inline mode, ERR_SLUICE_SHUTTING_DOWN, ERR_SLUICE_INVALID_ARG for `only` with something else
   */
  reload(options?: ReloadOptions): Promise<ReloadResult>
  /** A custom process, by the name of the instance. @throws ERR_SLUICE_INVALID_ARG when there is none */
  process(name: string): ProcessHandle
  /** How all custom processes are. */
  processes(): Promise<readonly ProcessInfo[]>
  /**
   * Replaces one worker of any kind by a fresh one with the same code, gracefully. @default in a worker: itself
   * @throws ERR_SLUICE_INVALID_ARG for an unknown id, ERR_SLUICE_WORKER_START when the fresh one fails (the old one stays)
   */
  stopWorker(id?: number): Promise<void>
  /**
   * Stops: no new connections, work in hand is finished, then everything ends. `timeout`: milliseconds until what is
   * left is cut off. @default `maxWaitTime` May be called again; a second call can only shorten the time.
   */
  shutdown(options?: { timeout?: number }): Promise<void>
}
