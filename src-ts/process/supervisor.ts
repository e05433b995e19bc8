import { sluiceError } from '../errors.ts'
import type { DeathReason, ReloadResult, StartReason, WorkerKind } from './api.ts'
import { Backoff } from './backoff.ts'
import { within, type Cancel, type Clock } from './clock.ts'
import { CrashLoop, type RollbackRule } from './crash-loop.ts'
import { isElsewhere, type Generation } from './generation.ts'
import type { LeaveReason } from './messages.ts'
import { workerTitle, type Place } from './place.ts'
import { LifeSpan, type Usage } from './recycle.ts'
import { prepareAll } from './reload.ts'
import { Retirement } from './retirement.ts'
import type { Death, WorkerHandle } from './worker-handle.ts'

/** A worker that did not come to serve. */
export type FailedStart = Omit<Death, 'reason'> & { readonly reason: 'start-failed' }

/** Who wants to know. All are told after the fact and may not throw. */
export interface SupervisorEvents {
  serving(worker: WorkerHandle): void
  leaving(worker: WorkerHandle): void
  /** A worker that was asked to go has gone. */
  left(worker: WorkerHandle): void
  died(worker: Pick<WorkerHandle, 'place' | 'threadId' | 'generation'>, death: Omit<Death, 'reason'> & { readonly reason: DeathReason }): void
  /** `reload.rollback` condemned the serving code. `restored`: older code has taken over. */
  condemned(restored: boolean): void
}

export interface SupervisorOptions {
  /** In the order of their ids, from 0 on. */
  readonly places: readonly Place[]
  /** Starts a thread. @throws when none is to be had */
  readonly spawn: (place: Place, generation: Generation, reason: StartReason) => WorkerHandle
  /** Lets the dispatcher choose the worker. */
  readonly activate: (slot: number, place: Place) => void
  /** Takes it out of dispatch. */
  readonly drain: (slot: number, reason: LeaveReason) => void
  readonly usage: (worker: WorkerHandle) => Usage
  readonly clock: Clock
  readonly maxWaitTime: number
  readonly drainGrace: number
  readonly concurrency: number
  readonly rollback: RollbackRule
  readonly events: SupervisorEvents
}

/** Who sits in a place. It outlives the workers that take it. */
interface Seat {
  readonly place: Place
  /** The code of its workers. */
  generation: Generation | undefined
  readonly backoff: Backoff
  /** Serves. */
  current: WorkerHandle | undefined
  /** Takes the empty seat as soon as it is ready. */
  successor: WorkerHandle | undefined
  /** A successor will be started when this fires. */
  restart: Cancel | undefined
  lifeSpan: LifeSpan
  replacement: Promise<void> | undefined
}

/** Old workers of one seat that are still finishing. More reloads than this in a row, and the oldest must hurry. */
const RETIRING_MAX = 3

/** What threads get to end after a start that failed. */
const END_MS = 1_000

/** How often life spans are looked at, in milliseconds, if any is limited. */
const RECYCLE_LOOK_MS = 1_000

/** Keeps every seat, whatever the kind of its worker, taken by a worker that serves. Knows no threads and no sockets, only handles; the caller brings the time. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #seats: Seat[]
  readonly #crashLoop: CrashLoop
  readonly #retiring = new Map<number, Retirement[]>()
  readonly #stopping = new AbortController()
  /** Reloads and replacements, one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Of the last reload; what it replaced, if that is to come back. */
  #reloaded: Generation | undefined
  #previous: ReadonlyMap<Seat, Generation> = new Map()
  #cancelLook: Cancel | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#crashLoop = new CrashLoop(options.rollback)
    this.#seats = options.places.map((place) => ({
      place,
      generation: undefined,
      backoff: new Backoff(),
      current: undefined,
      successor: undefined,
      restart: undefined,
      lifeSpan: new LifeSpan(place.recycle),
      replacement: undefined,
    }))
  }

  /** The code that answers, or will. */
  get generation(): Generation | undefined {
    return this.#seats[0]?.generation
  }

  /** Workers that serve, of all kinds. */
  get serving(): readonly WorkerHandle[] {
    return this.#seats.flatMap(({ current }) => current ?? [])
  }

  /** Of one kind. */
  servingOf(kind: WorkerKind): readonly WorkerHandle[] {
    return this.serving.filter(({ place }) => place.kind === kind)
  }

  /** Every worker that can be talked to: serving, coming and leaving ones. */
  get all(): readonly WorkerHandle[] {
    const retiring = [...this.#retiring.values()].flat().map(({ worker }) => worker)
    return [...this.serving, ...this.#seats.flatMap(({ successor }) => successor ?? []), ...retiring]
  }

  /**
   * Starts all workers at once. `first` is called when the first serves that can answer; settles when all do.
   * Rejects with ERR_SLUICE_WORKER_START when one fails; the others are ended then.
   */
  async start(generation: Generation, first: () => void): Promise<void> {
    for (const seat of this.#seats) seat.generation = generation
    const workers: WorkerHandle[] = []
    try {
      for (const { place } of this.#seats) workers.push(this.#options.spawn(place, generation, 'start'))
      await Promise.all(
        workers.map(async (worker, id) => {
          await worker.ready
          this.#stopping.signal.throwIfAborted()
          const isFirst = worker.place.kind === 'worker' && this.servingOf('worker').length === 0
          this.#seat(this.#seats[id] as Seat, worker)
          if (isFirst) first()
        }),
      )
    } catch (error) {
      this.#stopping.abort(error)
      for (const worker of workers) {
        worker.ready.catch(() => undefined)
        worker.terminate()
      }
      await within(this.#options.clock, END_MS, Promise.all(workers.map(({ exited }) => exited)))
      throw error
    }
    this.#lookAtLifeSpans()
  }

  /** Replaces all workers, or those of some kinds, by workers of `generation`, or none; see {@link prepareAll}. */
  reload(generation: Generation, signal?: AbortSignal, kinds?: ReadonlySet<WorkerKind>): Promise<ReloadResult & { readonly settled: Promise<void> }> {
    const seats = kinds === undefined ? this.#seats : this.#seats.filter(({ place }) => kinds.has(place.kind))
    // What is being watched since the last reload goes on being watched.
    if (seats.length === 0) return Promise.resolve({ ok: true, rolledBack: false, settled: Promise.resolve() })
    return this.#inTurn(async () => {
      const previous = new Map(seats.map((seat) => [seat, seat.generation as Generation]))
      const result = await this.#takeOver(new Map(seats.map((seat) => [seat, generation])), signal)
      if (result.ok) {
        this.#previous = previous
        this.#reloaded = generation
        this.#crashLoop.arm(this.#options.clock.now())
      }
      return result
    })
  }

  /** Replaces one worker by a fresh one of the same code. Rejects with ERR_SLUICE_WORKER_START, and the old one stays. */
  replace(id: number): Promise<void> {
    const seat = this.#seats[id] as Seat
    seat.replacement ??= this.#inTurn(() => this.#replace(seat)).finally(() => {
      seat.replacement = undefined
    })
    return seat.replacement
  }

  /** No worker is started any more. */
  freeze(): void {
    this.#stopping.abort(sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping'))
    this.#cancelLook?.()
    for (const seat of this.#seats) {
      seat.restart?.()
      seat.successor?.terminate()
      seat.successor = undefined
    }
  }

  /** Ends all workers of one kind, after {@link Supervisor.freeze}. Each gets `timeout` milliseconds; `hurry` cuts that short. */
  async stop(kind: WorkerKind, timeout: number, hurry: AbortSignal): Promise<void> {
    for (const seat of this.#seats) {
      const worker = seat.current
      if (worker === undefined || seat.place.kind !== kind) continue
      seat.current = undefined
      this.#retire(worker, 'shutdown', timeout)
    }
    const retirements = [...this.#retiring.values()].flat().filter(({ worker }) => worker.place.kind === kind)
    const rush = (): void => {
      for (const retirement of retirements) retirement.hurry()
    }
    const cancel = this.#options.clock.after(timeout, rush)
    if (hurry.aborted) rush()
    else hurry.addEventListener('abort', rush, { once: true })
    await Promise.all(retirements.map(({ done }) => done))
    hurry.removeEventListener('abort', rush)
    cancel()
  }

  /** `job` runs when those before it are through. Bounded: one reload runs, one waits, and each seat has one replacement. */
  #inTurn<T>(job: () => Promise<T>): Promise<T> {
    const run = this.#turn.then(job)
    this.#turn = run.catch(() => undefined)
    return run
  }

  async #takeOver(generations: ReadonlyMap<Seat, Generation>, abandon?: AbortSignal): Promise<ReloadResult & { readonly settled: Promise<void> }> {
    const { concurrency } = this.#options
    const signal = abandon ? AbortSignal.any([this.#stopping.signal, abandon]) : this.#stopping.signal
    const seats = [...generations.keys()]
    let fresh: WorkerHandle[]
    try {
      fresh = await prepareAll(seats, {
        prepare: (seat, given) => this.#prepare(seat, generations.get(seat) as Generation, 'reload', given),
        discard: (worker) => worker.terminate(),
        concurrency,
        signal,
      })
      // The first ones had time to die while the last ones started.
      const dead = fresh.find(({ isAlive }) => !isAlive)
      if (dead) throw await this.#bury(dead, fresh)
    } catch (error) {
      return { ok: false, rolledBack: false, error: asStartError(error), settled: Promise.resolve() }
    }
    // From here to the end of the loop nothing waits: the dispatcher sees two versions for no longer than that.
    const old = seats.map((seat, index) => {
      seat.backoff.reset()
      seat.generation = generations.get(seat)
      return this.#swap(seat, fresh[index] as WorkerHandle, 'reload')
    })
    this.#crashLoop.disarm()
    return { ok: true, rolledBack: false, settled: Promise.all(old).then(() => undefined) }
  }

  /** Ends a reload because one of its workers died before it served: discards all of them and says why. */
  async #bury(dead: WorkerHandle, fresh: readonly WorkerHandle[]): Promise<Error> {
    for (const worker of fresh) {
      if (worker !== dead) worker.terminate()
    }
    const { error, exitCode } = await dead.death
    const cause = error ?? new Error(`It ended with exit code ${exitCode}`)
    return sluiceError('ERR_SLUICE_WORKER_START', `${workerTitle(dead.place)} died before it served: ${cause.message}`, { cause })
  }

  async #replace(seat: Seat): Promise<void> {
    const { generation } = seat
    // An empty seat is about to be taken by a fresh worker anyway.
    if (seat.current === undefined || generation === undefined) return
    const worker = await this.#prepare(seat, generation, 'recycle', this.#stopping.signal)
    void this.#swap(seat, worker, 'recycle')
  }

  /** A worker for `seat` that is ready but not seated. Rejects, and leaves nothing behind, when that fails. */
  async #prepare(seat: Seat, generation: Generation, reason: StartReason, signal: AbortSignal): Promise<WorkerHandle> {
    signal.throwIfAborted()
    const worker = this.#options.spawn(seat.place, generation, reason)
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
    // The first two settle the matter; without a handler of its own a late rejection would end the master.
    aborted.catch(() => undefined)
    try {
      await Promise.race([worker.ready, aborted])
      return worker
    } catch (error) {
      worker.ready.catch(() => undefined)
      worker.terminate()
      throw error
    }
  }

  /** Puts `worker` on `seat` and retires whoever sat there. Settles when that one has gone. */
  #swap(seat: Seat, worker: WorkerHandle, reason: LeaveReason): Promise<void> {
    const old = seat.current
    seat.restart?.()
    seat.restart = undefined
    seat.successor?.terminate()
    seat.successor = undefined
    this.#seat(seat, worker)
    return old ? this.#retire(old, reason, seat.place.maxWaitTime ?? this.#options.maxWaitTime) : Promise.resolve()
  }

  #seat(seat: Seat, worker: WorkerHandle): void {
    const { activate, clock, events } = this.#options
    seat.current = worker
    seat.lifeSpan = new LifeSpan(seat.place.recycle)
    seat.backoff.serving(clock.now())
    activate(worker.slot, seat.place)
    events.serving(worker)
    void worker.lost.then((sign) => this.#lose(seat, worker, sign))
  }

  #retire(worker: WorkerHandle, reason: LeaveReason, maxWaitTime: number): Promise<void> {
    const { clock, drain, events } = this.#options
    // A shutdown has told the application already.
    const drainGrace = reason === 'shutdown' ? 0 : this.#options.drainGrace
    const retirement = new Retirement(worker, reason, { clock, drain, maxWaitTime, drainGrace })
    let isLost = false
    void worker.lost.then(() => {
      isLost = true
    })
    events.leaving(worker)
    const others = this.#retiring.get(worker.id) ?? []
    this.#retiring.set(worker.id, [...others, retirement])
    if (others.length >= RETIRING_MAX) others[0]?.hurry()
    return retirement.done.then((inTime) => {
      const left = this.#retiring.get(worker.id)?.filter((one) => one !== retirement) ?? []
      this.#retiring.set(worker.id, left)
      if (!inTime) events.died(worker, { reason: 'stuck', exitCode: -1, error: undefined, inflight: 0, replayed: 0 })
      else if (!isLost) events.left(worker)
    })
  }

  /** The first sign that `worker` ended unasked. Its replacement comes first, the account of its death when it is complete. */
  #lose(seat: Seat, worker: WorkerHandle, sign: 'stuck' | 'dead'): void {
    const { clock, events } = this.#options
    if (seat.current === worker) {
      seat.current = undefined
      // The core waited for `stuckAfter` before it said stuck: that is back-off enough.
      this.#restart(seat, sign === 'stuck' ? 0 : seat.backoff.died(clock.now()), sign === 'stuck' ? 'stuck' : 'crash')
    }
    // After the replacement was started, and without waiting: a native call cannot be interrupted.
    if (sign === 'stuck') worker.terminate()
    void worker.death.then((death) => {
      // What the core has given up must not go on running, should it not be dying by itself.
      if (sign === 'dead') worker.terminate()
      events.died(worker, death)
      this.#judge(worker.generation)
    })
  }

  #restart(seat: Seat, delay: number, reason: StartReason): void {
    if (this.#stopping.signal.aborted) return
    seat.restart?.()
    seat.restart = undefined
    if (delay === 0) this.#startSuccessor(seat, reason)
    else {
      seat.restart = this.#options.clock.after(delay, () => {
        seat.restart = undefined
        this.#startSuccessor(seat, reason)
      })
    }
  }

  #startSuccessor(seat: Seat, reason: StartReason): void {
    const { clock, events, spawn } = this.#options
    const { generation } = seat
    if (generation === undefined || this.#stopping.signal.aborted) return
    const failed = (error: unknown, threadId: number): void => {
      events.died({ place: seat.place, threadId, generation }, { reason: 'start-failed', exitCode: -1, error: asStartError(error), inflight: 0, replayed: 0 })
      this.#judge(generation)
      if (seat.current === undefined && seat.successor === undefined) this.#restart(seat, seat.backoff.died(clock.now()), reason)
    }
    let worker: WorkerHandle
    try {
      worker = spawn(seat.place, generation, reason)
    } catch (error) {
      failed(error, -1)
      return
    }
    seat.successor = worker
    worker.ready.then(
      () => {
        // A reload may have taken the seat meanwhile; it has ended this worker then.
        if (seat.successor !== worker) return
        seat.successor = undefined
        this.#seat(seat, worker)
      },
      (error: unknown) => {
        if (seat.successor !== worker) return
        seat.successor = undefined
        worker.terminate()
        failed(error, worker.threadId)
      },
    )
  }

  /** Counts a death against the code it happened in, and goes back to the code before when there are too many. */
  #judge(generation: Generation): void {
    const { clock, events } = this.#options
    if (generation !== this.#reloaded || !this.#crashLoop.died(clock.now())) return
    const previous = this.#previous
    if (![...previous.values()].some((one) => isElsewhere(one, generation))) {
      events.condemned(false)
      return
    }
    // Not counted against: there is nothing older to go back to from there.
    this.#reloaded = undefined
    void this.#inTurn(() => this.#takeOver(previous)).then(({ ok }) => events.condemned(ok))
  }

  #lookAtLifeSpans(): void {
    if (this.#stopping.signal.aborted || !this.#seats.some(({ lifeSpan }) => lifeSpan.isLimited)) return
    for (const seat of this.#seats) {
      const worker = seat.current
      if (worker === undefined || seat.replacement !== undefined || !seat.lifeSpan.isOver(this.#options.usage(worker))) continue
      this.replace(seat.place.id).catch((error: unknown) => {
        this.#options.events.died({ place: seat.place, threadId: -1, generation: worker.generation }, { reason: 'start-failed', exitCode: -1, error: asStartError(error), inflight: 0, replayed: 0 })
      })
    }
    this.#cancelLook = this.#options.clock.after(RECYCLE_LOOK_MS, () => this.#lookAtLifeSpans())
  }
}

function asStartError(error: unknown): Error {
  return error instanceof Error ? error : sluiceError('ERR_SLUICE_WORKER_START', 'A worker did not start', { cause: error })
}
