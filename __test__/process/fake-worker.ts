import type { StartReason, WorkerKind } from '../../src-ts/process/api.ts'
import { Deferred } from '../../src-ts/process/deferred.ts'
import type { Generation } from '../../src-ts/process/generation.ts'
import type { LeaveReason, MasterMessage } from '../../src-ts/process/messages.ts'
import { threadName, type Place } from '../../src-ts/process/place.ts'
import type { RecycleRule } from '../../src-ts/process/recycle.ts'
import type { Death, WorkerHandle } from '../../src-ts/process/worker-handle.ts'

/** The place with this id, of a worker that answers unless `kind` says otherwise. */
export function placeOf(id: number, kind: WorkerKind = 'worker', recycle: RecycleRule = {}): Place {
  return { id, kind, role: kind === 'worker' ? 0 : 1, index: id, name: threadName(kind, id), recycle }
}

/** A worker without a thread: the test says what happens to it, and reads what was asked of it. */
export class FakeWorker implements WorkerHandle {
  static #slots = 0
  readonly id: number
  readonly place: Place
  readonly slot: number
  readonly generation: Generation
  readonly reason: StartReason
  readonly threadId: number
  isAlive = true
  readonly asked: string[] = []
  readonly #ready = new Deferred()
  readonly #drained = new Deferred()
  readonly #lost = new Deferred<'stuck' | 'dead'>()
  readonly #death = new Deferred<Death>()
  readonly #exited = new Deferred()
  readonly ready: Promise<void> = this.#ready.promise
  readonly drained: Promise<void> = this.#drained.promise
  readonly lost: Promise<'stuck' | 'dead'> = this.#lost.promise
  readonly death: Promise<Death> = this.#death.promise
  readonly exited: Promise<void> = this.#exited.promise

  constructor(place: Place, generation: Generation, reason: StartReason) {
    this.id = place.id
    this.place = place
    this.generation = generation
    this.reason = reason
    this.slot = FakeWorker.#slots
    this.threadId = this.slot
    FakeWorker.#slots += 1
  }

  drain(reason: LeaveReason): void {
    this.asked.push(`drain ${reason}`)
  }

  stop(timeout: number): void {
    this.asked.push(`stop ${timeout}`)
  }

  terminate(): void {
    this.asked.push('terminate')
    this.isAlive = false
  }

  post(_message: MasterMessage): void {}

  getReady(): void {
    this.#ready.resolve(undefined)
  }

  failToStart(error: Error): void {
    this.isAlive = false
    this.#ready.reject(error)
    this.#exited.resolve(undefined)
  }

  finishWork(): void {
    this.#drained.resolve(undefined)
  }

  end(): void {
    this.isAlive = false
    this.#drained.resolve(undefined)
    this.#exited.resolve(undefined)
  }

  die(death: Partial<Death> = {}): void {
    this.isAlive = false
    this.#lost.resolve(death.reason === 'stuck' ? 'stuck' : 'dead')
    this.#death.resolve({ reason: 'throw', exitCode: 1, error: new Error('died'), inflight: 0, replayed: 0, ...death })
    this.#drained.resolve(undefined)
    if (death.reason !== 'stuck') this.#exited.resolve(undefined)
  }
}
