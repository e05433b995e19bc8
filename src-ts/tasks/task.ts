import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { Awaitable, Cloneable } from '../process/api.ts'
import { noteSpec } from './call-specs.ts'
import type { TaskClient, TaskSpec } from './client.ts'
import type { TaskContext } from './context.ts'
import { defaultNumbers, writeOptions, type DeliverOptions, type DeliveryOptions } from './deliver-options.ts'
import type { TaskHandle } from './handle.ts'
import { checkName, CRON_PREFIX } from './name.ts'
import { addTask, currentClient, type TaskEntry } from './registry.ts'

/** A task with its input, to be handed to those who call it later: {@link SharedTimers}. */
export interface TaskCall {
  /** The name of the task. */
  readonly task: string
  /** Structured-cloneable. */
  readonly input: Cloneable
}

/** The arguments of a call: the input may be left out where the handler does without. */
type Arguments<I, O extends readonly unknown[]> = undefined extends I ? [input?: I, ...O] : [input: I, ...O]

/** A task that is defined. */
export interface TaskDef<I, R = unknown> {
  readonly name: string
  /**
   * Hands the task in: fire and forget, unless the handle is awaited. The input is copied by structured clone.
   *
   * @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG for an option; TypeError ERR_SLUICE_TASK_PAYLOAD with a `path` for an input that cannot be cloned,
   * RangeError for one above 16 MiB; ERR_SLUICE_TASK_QUEUE_FULL, ERR_SLUICE_SHUTTING_DOWN, ERR_SLUICE_TASK_CANCELLED for a signal that is aborted already,
   * ERR_SLUICE_NOT_RUNNING where no server runs
   */
  deliver(...args: Arguments<I, [options?: DeliveryOptions]>): TaskHandle<Awaited<R>>
  /** Hands the task in and waits for what its handler returns. Rejects with what {@link deliver} throws, and as its handle. */
  run(...args: Arguments<I, [options?: DeliveryOptions]>): Promise<Awaited<R>>
  /** Hands in one task for each input and waits for all of them. Never rejects. */
  runAll(inputs: readonly I[], options?: DeliveryOptions): Promise<PromiseSettledResult<Awaited<R>>[]>
  /** A call of this task, for a timer, with the options of its definition. The input is copied when the call is handed over. */
  call(...args: Arguments<I, []>): TaskCall
}

/** What a task does. */
export type TaskHandler<I, R = unknown> = (input: I, ctx: TaskContext) => Awaitable<R>

/** What holds for every delivery of a task, and what happens after it. */
export interface TaskOptions<I, R> extends DeliverOptions {
  /** Runs with the result, in the worker that delivered the task, or in any that serves if that is gone. */
  finish?(result: Awaited<R>, input: I): unknown
  /** Runs with the error when the last try has failed, in a worker that runs such tasks. */
  failed?(error: unknown, input: I): unknown
}

/**
 * Defines a task. Do it at the top level of a module that every worker imports: it runs in another thread than the one that delivers it. What its handler
 * throws in the last try is told to the `error` event, with the phase `task`.
 *
 * @param name 1 to 255 bytes of UTF-8, unique in the application; not with `cron:` at its beginning
 * @param options for every delivery
 * @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG for a name that is none or taken, a handler that is no function, an option that is wrong
 */
export function defineTask<I = undefined, R = unknown>(name: string, handle: TaskHandler<I, R>, options: TaskOptions<I, R> = {}): TaskDef<I, R> {
  checkName(name, 'The name of a task')
  if (name.startsWith(CRON_PREFIX)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Names of tasks that begin with "${CRON_PREFIX}" are those of cron jobs, got "${name}"`)
  const { failed, finish, ...defaults } = options
  checkFunction(handle, `The handler of task "${name}"`)
  if (finish !== undefined) checkFunction(finish, `\`finish\` of task "${name}"`)
  if (failed !== undefined) checkFunction(failed, `\`failed\` of task "${name}"`)
  checkDefaults(defaults)
  // What crosses is what the types of this task say, as far as its two ends are of one version.
  const entry = { source: handle, run: (input: I, ctx: TaskContext) => handle(input, ctx), finish: finish?.bind(options), failed: failed?.bind(options) } as unknown as TaskEntry
  addTask(name, entry)
  return new FunctionTask<I, R>({ name, entry, options: defaults })
}

/** The tasks of the server that runs in this thread. @throws ERR_SLUICE_NOT_RUNNING when there is none */
export function needClient(name: string): TaskClient {
  const client = currentClient()
  if (client === undefined) throw sluiceError('ERR_SLUICE_NOT_RUNNING', `Task "${name}" was delivered where no server runs; start one with serve() or \`sluice start\``)
  return client
}

/** @throws what a wrong option of a delivery throws; its queue is looked for when it is used, for a module may be loaded before the server is started */
export function checkDefaults(options: DeliverOptions): void {
  for (const name of ['signal', 'transfer']) {
    if (name in options) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`${name}\` is an option of one delivery`)
  }
  writeOptions(defaultNumbers({ finish: undefined, failed: undefined }), options, () => 0)
}

/** A promise of the result that is no unhandled rejection when nobody waits: what fails is told elsewhere. */
function promiseOf<R>(deliver: () => TaskHandle<R>): Promise<R> {
  let promise: Promise<R>
  try {
    promise = deliver().settled()
  } catch (error) {
    promise = Promise.reject(error)
  }
  promise.catch(ignore)
  return promise
}

function ignore(): void {}

class FunctionTask<I, R> implements TaskDef<I, R> {
  readonly #spec: TaskSpec

  constructor(spec: TaskSpec) {
    this.#spec = spec
  }

  get name(): string {
    return this.#spec.name
  }

  deliver(...[input, options]: Arguments<I, [options?: DeliveryOptions]>): TaskHandle<Awaited<R>> {
    return this.#deliver(input as I, options)
  }

  run(...[input, options]: Arguments<I, [options?: DeliveryOptions]>): Promise<Awaited<R>> {
    return promiseOf(() => this.#deliver(input as I, options))
  }

  runAll(inputs: readonly I[], options?: DeliveryOptions): Promise<PromiseSettledResult<Awaited<R>>[]> {
    return Promise.allSettled(inputs.map((input) => promiseOf(() => this.#deliver(input, options))))
  }

  call(...[input]: Arguments<I, []>): TaskCall {
    return noteSpec({ task: this.name, input }, this.#spec)
  }

  #deliver(input: I, options: DeliveryOptions | undefined): TaskHandle<Awaited<R>> {
    return needClient(this.name).deliver(this.#spec, input, options) as TaskHandle<Awaited<R>>
  }
}

function checkFunction(value: unknown, what: string): void {
  if (typeof value !== 'function') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${what} must be a function, got ${typeof value}`)
}
