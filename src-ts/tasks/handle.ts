import { sluiceError } from '../errors.ts'
import type { Cloneable } from '../process/api.ts'
import { Deferred } from '../process/deferred.ts'
import { End, failureOf } from './failure.ts'
import { follow } from './followers.ts'
import { Progress } from './progress.ts'

/** Where a task is. `done`, `failed` and `cancelled` are final. */
export type TaskStatus = 'queued' | 'delayed' | 'running' | 'done' | 'failed' | 'cancelled'

/** What a handle asks of the tasks of its thread. */
export interface HandleHost {
  /** False where results do not come. */
  readonly hears: boolean
  status(task: number): TaskStatus | undefined
  cancel(task: number): boolean
  /** The error for whoever waits where no result comes. */
  deaf(name: string): Error
}

/** How a task has ended. An error is made when somebody asks: a server that stops leaves thousands of handles that nobody looks at. */
type Outcome<R> = { readonly status: 'done'; readonly value: R } | { readonly status: 'failed' | 'cancelled'; readonly error: () => Error }

/**
 * A task that was delivered. Await it to get what its handler returns. That nobody awaits it is no error: what fails is told to the `error` event in any case.
 */
export class TaskHandle<R> implements PromiseLike<R> {
  readonly #host: HandleHost
  readonly #task: number
  readonly #name: string
  readonly #read: ((output: unknown) => unknown) | undefined
  #outcome: Outcome<R> | undefined
  #isCancelled = false
  #promise: Promise<R> | undefined
  #resolve: ((value: R | PromiseLike<R>) => void) | undefined
  #reject: ((error: Error) => void) | undefined
  #progress: Progress | undefined
  #signal: AbortSignal | undefined
  #unfollow: (() => void) | undefined
  readonly #isDurable: boolean
  /** What is known of it: it is stored, or why not. */
  #storing: true | Error | undefined
  #stored: Deferred | undefined
  /** @internal Another handle of the same task, which a key made one. */
  sibling: TaskHandle<unknown> | undefined

  /** @internal */
  constructor(host: HandleHost, task: number, name: string, read: ((output: unknown) => unknown) | undefined, isDurable = false) {
    this.#host = host
    this.#task = task
    this.#name = name
    this.#read = read
    this.#isDurable = isDurable
  }

  /** Of the task, as `sluice tasks` shows it. */
  get id(): string {
    return String(this.#task)
  }

  /** Where the task is now. */
  status(): TaskStatus {
    if (this.#outcome !== undefined) return this.#outcome.status
    if (this.#isCancelled) return 'cancelled'
    // Over, but its result is not read yet.
    return this.#host.status(this.#task) ?? 'running'
  }

  /**
   * Cancels the task. One that waits does not begin; of one that runs the handler's signal is aborted. It ends with ERR_SLUICE_TASK_CANCELLED for all who
   * wait for it. False when it was over before.
   */
  cancel(): boolean {
    if (this.#outcome !== undefined || this.#isCancelled || !this.#host.cancel(this.#task)) return false
    this.#isCancelled = !this.#host.hears
    return true
  }

  /**
   * What the handler says by `ctx.progress()`: the last value that came before one begins to read, and those that come then; it ends with the task,
   * however that ends. Of values that are not read at most 1024 wait, the oldest are left out.
   */
  get progress(): AsyncIterable<Cloneable> {
    if (this.#progress === undefined) {
      this.#progress = new Progress()
      if (this.#outcome !== undefined || !this.#host.hears) this.#progress.end()
    }
    return this.#progress
  }

  /**
   * Resolves when the task is stored by `tasks.durable`: it is run although the process is killed from now on; or when it is over. Rejects with
   * ERR_SLUICE_TASKS_JOURNAL when the disk does not take it, which is no end of the task: it is run if nothing happens; with ERR_SLUICE_INVALID_STATE when it is not
   * durable, and where no results come.
   */
  get stored(): Promise<void> {
    if (!this.#isDurable) return Promise.reject(sluiceError('ERR_SLUICE_INVALID_STATE', `Task "${this.#name}" is not durable: there is no \`tasks.durable\`, or it was delivered without`))
    if (this.#storing === true) return Promise.resolve()
    if (this.#storing !== undefined) return Promise.reject(this.#storing)
    if (!this.#host.hears) return Promise.reject(this.#host.deaf(this.#name))
    this.#stored ??= new Deferred()
    return this.#stored.promise
  }

  /**
   * Rejects with what the handler threw in its last try, or with ERR_SLUICE_TASK_TIMEOUT, ERR_SLUICE_TASK_CANCELLED, ERR_SLUICE_TASK_LOST, ERR_SLUICE_TASK_UNKNOWN,
   * ERR_SLUICE_SHUTTING_DOWN; with ERR_SLUICE_INVALID_STATE where no results come: in a worker before its app is loaded.
   */
  // oxlint-disable-next-line unicorn/no-thenable -- it is one: `await handle`
  then<T = R, F = never>(resolved?: ((value: R) => T | PromiseLike<T>) | null, rejected?: ((reason: unknown) => F | PromiseLike<F>) | null): Promise<T | F> {
    return this.settled().then(resolved, rejected)
  }

  /** @internal Aborting it cancels the task. */
  follow(signal: AbortSignal): void {
    this.#signal = signal
    this.#unfollow = follow(signal, () => void this.cancel())
  }

  /** @internal */
  told(value: unknown): void {
    this.#progress ??= new Progress()
    this.#progress.push(value)
  }

  /** @internal It is in the journal, or `why` it is not. */
  isStored(why?: string): void {
    if (this.#storing !== undefined) return
    if (why === undefined) {
      this.#storing = true
      this.#stored?.resolve()
      // Many are kept for long.
      this.#stored = undefined
    } else {
      this.#storing = sluiceError('ERR_SLUICE_TASKS_JOURNAL', `Task "${this.#name}" (id ${this.id}) is not stored: ${why}`)
      this.#stored?.reject(this.#storing)
    }
  }

  /** @internal `output` of one that is done. */
  end(end: number, attempts: number, output: unknown, bytes: Uint8Array): void {
    if (end === End.DONE) {
      const value = (this.#read === undefined ? output : this.#read(output)) as R
      this.#outcome = { status: 'done', value }
      this.#resolve?.(value)
    } else {
      const failure = (): Error => failureOf(end, bytes, { id: this.id, name: this.#name, attempts })
      const made = bytes.length > 0 ? failure() : undefined
      // The bytes are the lane's.
      this.fail(made === undefined ? failure : () => made, end === End.CANCELLED || end === End.STOPPED ? 'cancelled' : 'failed')
    }
    this.#leave()
  }

  /** @internal */
  fail(failure: () => Error, status: 'failed' | 'cancelled'): void {
    const signal = status === 'cancelled' ? this.#signal : undefined
    const error = (): Error => (signal?.aborted ? Object.assign(failure(), { cause: signal.reason as unknown }) : failure())
    this.#outcome = { status, error }
    this.#reject?.(error())
    this.#leave()
  }

  #leave(): void {
    // Of one that is over there is nothing to store; what becomes of one that was stopped only the journal knows.
    if (this.#storing === undefined && this.#stored !== undefined && this.#outcome?.status === 'cancelled') {
      this.#storing = this.#outcome.error()
      this.#stored.reject(this.#storing)
    } else this.#storing ??= true
    this.#stored?.resolve()
    this.#progress?.end()
    this.#unfollow?.()
    this.#unfollow = undefined
  }

  /** @internal Made when somebody waits: a promise that nobody waits for would be an unhandled rejection. */
  settled(): Promise<R> {
    this.#promise ??= this.#outcome === undefined ? this.#wait() : this.#outcome.status === 'done' ? Promise.resolve(this.#outcome.value) : Promise.reject(this.#outcome.error())
    return this.#promise
  }

  #wait(): Promise<R> {
    if (!this.#host.hears) return Promise.reject(this.#host.deaf(this.#name))
    return new Promise<R>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }
}
