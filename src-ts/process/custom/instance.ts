import { sluiceError } from '../../errors.ts'
import { within, type Cancel, type Clock } from '../clock.ts'
import { Deferred } from '../deferred.ts'
import { JoinedRuns } from '../reload.ts'
import { Pulse } from './pulse.ts'
import type { ProcessEnd, Runner } from './runner.ts'
import type { ProcessErrorEvent, ProcessInfo, ProcessKind, ProcessLeave } from './spec.ts'

/** A process that ran this long was healthy: what comes after counts from the beginning. */
const HEALTHY_AFTER_MS = 30_000
/** Longest wait before a restart, unless `restartInterval` is longer. */
const RESTART_MAX_MS = 60_000
/** What a process gets to end after it was killed; a thread in a native call may never. */
const KILL_MS = 2_000
/** What it gets at least to come to its end when the server's time is over. */
const STOP_MIN_MS = 1_000

export interface InstanceOptions {
  readonly name: string
  readonly kind: ProcessKind
  readonly id: number
  /** False: it only runs when somebody restarts it. */
  readonly enable: boolean
  readonly restartInterval: number
  readonly maxRestarts: number | undefined
  /** Milliseconds after which a process whose event loop does not turn is ended; 0 = never. */
  readonly stuckAfter: number
  readonly clock: Clock
  readonly maxWaitTime: number
  /** Starts it. @throws when that is not possible now */
  readonly spawn: () => Runner
  /** Who wants to know. All are told after the fact and may not throw. */
  readonly events: {
    started(info: ProcessInfo): void
    /** It was asked to go, and has gone. */
    stopped(info: ProcessInfo): void
    failed(event: ProcessErrorEvent): void
    /** One run is over, asked for or not: nobody will answer what it was asked. */
    gone(): void
    /** It is left alone: nobody will read what is written to it, unless somebody restarts it. */
    over(): void
  }
}

/** Keeps one process running. Knows no threads and no child processes, only runners; the caller brings the time. */
export class ProcessInstance {
  readonly name: string
  readonly #options: InstanceOptions
  #runner: Runner | undefined
  #status: ProcessInfo['status']
  #since: number | undefined
  #startedAt = 0
  #restarts = 0
  #stuck = 0
  #pulse: Pulse | undefined
  /** Restarts in a row. */
  #row = 0
  #failures = 0
  #restart: Cancel | undefined
  #hasFailed = false
  #isFrozen = false
  /** It was asked to go, to be started again. */
  #isComingBack = false
  /** The run that is there was killed: because it hangs, because it did not go in time. */
  #isStuck = false
  #wasKilled = false
  #left: Deferred | undefined
  #running = new Deferred()
  /** Reloads and restarts, one after the other; those that are asked for while one runs are one. */
  readonly #agains = new JoinedRuns((reason: ProcessLeave) => this.#again(reason))

  constructor(options: InstanceOptions) {
    this.#options = options
    this.name = options.name
    this.#status = options.enable ? 'waiting' : 'ended'
  }

  get info(): ProcessInfo {
    const { id, kind, name } = this.#options
    return { name, kind, id, pid: this.#runner?.pid, status: this.#status, restarts: this.#restarts, stuck: this.#stuck, since: this.#since }
  }

  /** The run that is there now, ready or not. */
  get runner(): Runner | undefined {
    return this.#runner
  }

  get isRunning(): boolean {
    return this.#status === 'running'
  }

  /** It will not run any more, unless somebody restarts it. */
  get isOver(): boolean {
    return this.#status === 'ended'
  }

  /** It is left alone because it failed too often. */
  get hasFailed(): boolean {
    return this.isOver && this.#hasFailed
  }

  /** Settles when it runs; rejects with ERR_SLUICE_PROCESS_GONE when it will not. */
  get running(): Promise<void> {
    return this.#running.promise
  }

  /** Does nothing when it runs, or may not be started any more. */
  start(): void {
    if (this.#isFrozen || this.#runner !== undefined) return
    this.#restart?.()
    this.#restart = undefined
    this.#setStatus('starting')
    this.#startedAt = this.#options.clock.now()
    let runner: Runner
    try {
      runner = this.#options.spawn()
    } catch (error) {
      this.#failed({ reason: 'start-failed', exitCode: -1, signal: undefined, error: error instanceof Error ? error : new Error(String(error)) })
      return
    }
    this.#runner = runner
    void runner.ready.then(() => {
      if (this.#runner !== runner || this.#status !== 'starting') return
      this.#since = Date.now()
      this.#setStatus('running')
      this.#watch(runner)
      this.#options.events.started(this.info)
    })
    void runner.ended.then((end) => this.#over(runner, end))
  }

  /** Ends it, and starts it again with the code that is there then. Settles when it runs, or has failed to. */
  again(reason: ProcessLeave): Promise<void> {
    return this.#agains.call(reason)
  }

  /** It is not started any more. */
  freeze(): void {
    this.#isFrozen = true
    this.#restart?.()
    this.#restart = undefined
    if (this.#status === 'waiting') this.#setStatus('ended')
  }

  /** Ends it for good. `hurry` cuts the time short. */
  async stop(timeout: number, hurry: AbortSignal): Promise<void> {
    this.freeze()
    await this.#leave('stop', Math.max(timeout, STOP_MIN_MS), hurry)
    this.#setStatus('ended')
  }

  async #again(reason: ProcessLeave): Promise<void> {
    if (this.#isFrozen) return
    this.#row = 0
    this.#failures = 0
    this.#isComingBack = true
    await this.#leave(reason, this.#options.maxWaitTime)
    this.#isComingBack = false
    this.start()
    // Whoever asks again and again gets a process that runs in between.
    const runner = this.#runner
    if (runner) await Promise.race([runner.ready, runner.ended])
  }

  async #leave(reason: ProcessLeave, timeout: number, hurry?: AbortSignal): Promise<void> {
    const { clock } = this.#options
    this.#restart?.()
    this.#restart = undefined
    const runner = this.#runner
    if (runner === undefined) return
    this.#left ??= new Deferred()
    const left = this.#left.promise
    this.#setStatus('stopping')
    runner.stop(reason, timeout)
    if (await within(clock, timeout, left, hurry)) return
    if (hurry?.aborted && (await within(clock, STOP_MIN_MS, left))) return
    this.#wasKilled = true
    runner.kill()
    if (await within(clock, KILL_MS, left)) return
    this.#giveUp(runner)
  }

  /** From now on it has to show that it lives. */
  #watch(runner: Runner): void {
    const { clock, stuckAfter } = this.#options
    if (stuckAfter === 0 || runner.ping === undefined) return
    this.#pulse = new Pulse({ clock, stuckAfter, ask: (answered) => runner.ping?.(answered), stuck: () => void this.#stop(runner) })
  }

  /** It hangs. */
  async #stop(runner: Runner): Promise<void> {
    // Who is asked to go meanwhile is killed in its time.
    if (this.#runner !== runner || this.#status !== 'running') return
    this.#stuck += 1
    this.#isStuck = true
    runner.kill()
    if (!(await within(this.#options.clock, KILL_MS, runner.ended))) this.#giveUp(runner)
  }

  /** It is not waited for any longer, and what it still does concerns nobody. */
  #giveUp(runner: Runner): void {
    if (this.#runner !== runner) return
    runner.abandon?.()
    this.#over(runner, { reason: 'stuck', exitCode: -1, signal: undefined, error: undefined })
  }

  #over(runner: Runner, end: ProcessEnd): void {
    if (this.#runner !== runner) return
    const { events } = this.#options
    const left = this.#left
    const info = this.info
    const isStuck = this.#isStuck
    const wasKilled = this.#wasKilled
    this.#isStuck = false
    this.#wasKilled = false
    this.#pulse?.stop()
    this.#pulse = undefined
    this.#runner = undefined
    this.#since = undefined
    this.#left = undefined
    events.gone()
    if (left === undefined) {
      this.#failed(isStuck ? { ...end, reason: 'stuck' } : end)
      return
    }
    this.#setStatus(this.#isComingBack && !this.#isFrozen ? 'waiting' : 'ended')
    // It did not go by itself in its time.
    if (wasKilled) events.failed({ process: this.info, ...end, reason: 'stuck', restartIn: this.#status === 'waiting' ? 0 : undefined })
    else events.stopped({ ...info, status: this.#status })
    left.resolve(undefined)
  }

  /** It has ended by itself, or did not come to run. */
  #failed(end: ProcessEnd): void {
    const { clock, events, maxRestarts = Infinity, restartInterval } = this.#options
    if (clock.now() - this.#startedAt >= HEALTHY_AFTER_MS) {
      this.#row = 0
      this.#failures = 0
    }
    const isFailure = end.reason !== 'exit' || end.exitCode !== 0
    if (!isFailure) this.#failures = 0
    // Nothing doubled is nothing.
    const base = this.#failures === 0 ? restartInterval : Math.max(restartInterval, 1)
    const delay = Math.min(base * 2 ** this.#failures, Math.max(RESTART_MAX_MS, restartInterval))
    this.#hasFailed = isFailure
    if (isFailure) this.#failures = Math.min(this.#failures + 1, 30)
    if (this.#isFrozen || this.#row >= maxRestarts) {
      this.#setStatus('ended')
      events.failed({ process: this.info, ...end, restartIn: undefined })
      return
    }
    this.#row += 1
    this.#setStatus('waiting')
    events.failed({ process: this.info, ...end, restartIn: delay })
    this.#restart = clock.after(delay, () => {
      this.#restart = undefined
      this.#restarts += 1
      this.start()
    })
  }

  #setStatus(status: ProcessInfo['status']): void {
    const before = this.#status
    this.#status = status
    if (status === 'running') this.#running.resolve(undefined)
    else if (before === 'running') this.#running = new Deferred()
    if (status !== 'ended' || before === 'ended') return
    this.#options.events.over()
    // Those who come later see that it is over.
    this.#running.promise.catch(() => undefined)
    this.#running.reject(sluiceError('ERR_SLUICE_PROCESS_GONE', `The process "${this.name}" does not run any more`))
    this.#running = new Deferred()
  }
}
