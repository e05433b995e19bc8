import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { NativeServer, Notice } from '../native.ts'
import type { TasksJournalStats } from './api.ts'
import { Deferred } from './deferred.ts'
import type { LeaveReason, PortRecord } from './messages.ts'

/** What the core said about one worker: the notices that carry a slot. */
export type WorkerNotice = Extract<Notice, { slot: number }>
/** What the core knows about one worker's work. */
export interface SlotStats {
  readonly slot: number
  readonly requests: number
  readonly inflight: number
  readonly connections?: number
}

/** The core's counters: numbers by name, refusals by limit, and the workers. */
export interface CoreStats {
  readonly counters: Readonly<Record<string, number>>
  readonly rejected: Readonly<Record<string, number>>
  readonly workers: readonly SlotStats[]
  /** Where durable tasks are kept, if they are. */
  readonly tasksJournal?: TasksJournalStats
}

/** Reasons of a drain as the core knows them. */
const DRAIN_RELOAD = 0
const DRAIN_RECYCLE = 3

/** The code that a server closes WebSockets with when it stops (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001

type Listener = (notice: WorkerNotice) => void

/** One server of the native core, seen from the master: the calls that concern it, and its notices sorted by worker. */
export class Core {
  readonly server: number
  readonly #native: NativeServer
  readonly #failed: (error: Error, phase: 'accept' | 'task' | 'cron', task?: string) => void
  /**
   * Who hears the notices of a slot. The core may give a slot out again before the last notice about its former holder was
   * read; notices of a slot keep their order, and `gone` is a holder's last, so the oldest listener is always the one meant.
   */
  readonly #listeners = new Map<number, Listener[]>()
  readonly #stopped = new Deferred<void>()
  readonly #tasksDone = new Deferred<void>()
  #isStopping = false
  #isReleased = false
  #lastStats: CoreStats | undefined

  /** Binds the ports of the native configuration. `failed` hears of ports that are lost later, and of a journal of tasks that cannot be written. @throws ERR_SLUICE_LISTEN, ERR_SLUICE_INVALID_OPTION */
  constructor(native: NativeServer, config: string, failed: (error: Error, phase: 'accept' | 'task' | 'cron', task?: string) => void) {
    this.#native = native
    this.#failed = failed
    this.server = native.startServer(config)
    native.attachMaster(this.server, () => this.#takeNotices())
  }

  ports(): readonly PortRecord[] {
    return parsePorts(JSON.parse(this.#native.serverInfo(this.server)))
  }

  /** After {@link Core.release}: the last figures. */
  stats(): CoreStats {
    return this.#lastStats ?? coreStats(this.#native, this.server)
  }

  accept(): void {
    this.#native.acceptConnections(this.server)
  }

  /** Reads certificates and keys again, for connections to come. What is wrong with them `failed` hears. */
  renewCertificates(): void {
    if (!this.#isReleased) this.#native.renewCertificates(this.server)
  }

  /** Reserves a slot for a new thread; `listen` gets the notices about it, the last of which is `gone`. */
  createWorker(listen: Listener): number {
    const slot = this.#native.createWorker(this.server)
    const listeners = this.#listeners.get(slot)
    if (listeners) listeners.push(listen)
    else this.#listeners.set(slot, [listen])
    return slot
  }

  /** `id`: the worker's place, which its successor takes over with the clients that stick to it. Only workers with role 0 get requests. */
  activate(slot: number, id: number, role: number): void {
    this.#native.activateWorker(this.server, slot, id, role)
  }

  /** `reason`: what whoever gets its connections is told. */
  drain(slot: number, reason: LeaveReason = 'reload'): void {
    if (!this.#isReleased) this.#native.drainWorker(this.server, slot, reason === 'recycle' ? DRAIN_RECYCLE : DRAIN_RELOAD)
  }

  /** Its locks pass on: it hangs, and may never come to its end. */
  writeOffThread(threadId: number): void {
    this.#native.writeOffThread(threadId)
  }

  /** For a thread that ended, or never will, without the core having noticed. `listen` as in {@link createWorker}. */
  writeOff(slot: number, listen: Listener): void {
    if (this.#isReleased) return
    // A `gone` that waits unread has freed the slot; writing that off would hit its next holder.
    this.#takeNotices()
    if (this.#listeners.get(slot)?.[0] === listen) this.#native.writeOffWorker(this.server, slot)
  }

  /**
   * Stops accepting; idle connections are closed after `grace` milliseconds, WebSockets at once with `code`. Settles when no
   * connection is left.
   */
  stop(grace: number, code: number = GOING_AWAY): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true
      this.#native.stopServer(this.server, grace, code)
    }
    return this.#stopped.promise
  }

  /** Settles when no task is in the hands of a worker, and none that waits can go to one. What waits for its time, or for a token of its queue, is not waited for. */
  finishTasks(): Promise<void> {
    if (!this.#isReleased) this.#native.finishTasks(this.server)
    return this.#tasksDone.promise
  }

  /** Ends the reactors; whatever is still connected is closed. */
  release(): void {
    if (this.#isReleased) return
    this.#takeNotices()
    this.#lastStats = this.stats()
    this.#isReleased = true
    this.#native.releaseServer(this.server)
    this.#listeners.clear()
    this.#stopped.resolve()
    this.#tasksDone.resolve()
  }

  #takeNotices(): void {
    if (this.#isReleased) return
    const json = this.#native.takeNotices(this.server)
    if (json === null) return
    for (const notice of JSON.parse(json) as Notice[]) {
      if (notice.type === 'stopped') this.#stopped.resolve()
      else if (notice.type === 'tasksDone') this.#tasksDone.resolve()
      else if (notice.type === 'failed') this.#failed(sluiceError('ERR_SLUICE_LISTEN', `A port accepts nothing any more: ${notice.message}`), 'accept')
      else if (notice.type === 'journal') this.#failed(sluiceError('ERR_SLUICE_TASKS_JOURNAL', notice.message), 'task')
      else if (notice.type === 'cronLost') this.#failed(sluiceError('ERR_SLUICE_TASK_LOST', `The cron worker died while cron job "${notice.name}" ran`), 'cron', notice.name)
      else if (notice.type === 'certificates') this.#certificatesRead(notice)
      else this.#notify(notice)
    }
  }

  /** A port lives on with what it had; whoever looks after the certificates must hear of it. */
  #certificatesRead({ port, error, warnings }: Extract<Notice, { type: 'certificates' }>): void {
    for (const warning of warnings) process.emitWarning(`Port "${port}": ${warning}`, { code: 'SLUICE_CERTIFICATE' })
    if (error !== undefined) this.#failed(sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `The new certificates of port "${port}" cannot be used, the old ones stay: ${error}`), 'accept')
  }

  #notify(notice: WorkerNotice): void {
    const listeners = this.#listeners.get(notice.slot)
    const listener = listeners?.[0]
    if (listeners && notice.type === 'gone') {
      if (listeners.length > 1) listeners.shift()
      else this.#listeners.delete(notice.slot)
    }
    listener?.(notice)
  }
}

/** The counters of a server, from any of its threads. */
export function coreStats(native: Pick<NativeServer, 'serverStats'>, server: number): CoreStats {
  const stats = JSON.parse(native.serverStats(server)) as Record<string, unknown>
  const counters: Record<string, number> = {}
  for (const [name, value] of Object.entries(stats)) {
    if (typeof value === 'number') counters[name] = value
  }
  const { rejected, perWorker: workers, tasksJournal } = stats
  return {
    counters,
    ...(typeof tasksJournal === 'object' && tasksJournal !== null ? { tasksJournal: tasksJournal as TasksJournalStats } : {}),
    rejected: typeof rejected === 'object' && rejected !== null ? (rejected as Record<string, number>) : {},
    workers: Array.isArray(workers) ? (workers as SlotStats[]) : [],
  }
}

function parsePorts(info: unknown): readonly PortRecord[] {
  if (typeof info !== 'object' || info === null || !('ports' in info) || !Array.isArray(info.ports)) {
    throw sluiceError('ERR_SLUICE_INTERNAL', 'The core gave no list of ports')
  }
  return (info.ports as Partial<PortRecord>[]).map(({ name, protocol, host, port, path, error, tls, proxy, bodyBytes }) => ({ name: name ?? '', protocol: protocol ?? 'http', host, port, path, error, tls: tls === true, proxy, bodyBytes: bodyBytes ?? 0 }))
}
