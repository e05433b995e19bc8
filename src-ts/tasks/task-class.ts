import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { Awaitable } from '../process/api.ts'
import { addKind, kindOf, nameOf } from './class-kind.ts'
import type { TaskClient, TaskSpec } from './client.ts'
import type { TaskContext } from './context.ts'
import { checkDefaults, needClient } from './task.ts'
import type { DeliverOptions, DeliveryOptions } from './deliver-options.ts'
import type { TaskHandle } from './handle.ts'
import { addTask, findTask, type TaskEntry } from './registry.ts'

/** What crosses: the fields of the object as they are after `handle`, if there is a `finish` for them, and what that returned. */
interface Output {
  readonly fields: object | undefined
  readonly result: unknown
}

/** What was said by `delay()` and `setTries()`, which is no field of the object. */
const said = new WeakMap<object, { delay?: number; tries?: number }>()

/**
 * A task as a class, in the manner of LaravelS. The fields of the object are copied to a fresh one of its class in a task worker, without a call of the
 * constructor, and there `handle` runs; the changed fields come back for `finish`. Private fields (`#name`) and accessors of the class do not travel; a field
 * that cannot be cloned makes the delivery throw, or, left there by `handle` where there is a `finish`, the task fail.
 *
 * Workers know a class by its name, or by `static id`: it must be exported by the app's module or by one of `tasks.files`, or registered where it is
 * defined: `static { this.register() }`.
 */
export abstract class Task<R = unknown> {
  /** The name by which workers know the class, in place of that of the class: say it where a bundler may change that. @default the name of the class */
  declare static readonly id?: string

  /** Does it. What it returns goes to who awaits it, what it throws in the last try to the `error` event. */
  abstract handle(ctx: TaskContext): Awaitable<R>
  /** Runs after it, on an object with the fields as `handle` left them, in the worker that delivered the task, or in any that serves if that is gone. */
  finish?(result: Awaited<R>): unknown
  /** Runs when the last try has failed, on an object with the fields as they were delivered, in a worker that runs such tasks. */
  failed?(error: unknown): unknown

  /** Milliseconds until it may run. */
  delay(ms: number): this {
    return say(this, { delay: ms })
  }

  /** How often it is tried in all. */
  setTries(tries: number): this {
    return say(this, { tries })
  }

  /** Makes the class known to this thread; for a class that is exported by no module of the application. */
  static register(this: abstract new (...args: never[]) => Task): void {
    registerTask(this)
  }

  /** Hands the task in. As `deliver` of a {@link TaskDef}. @throws ERR_SLUICE_TASK_UNKNOWN for a class that is not known to the workers */
  static deliver<T extends Task>(task: T, options?: DeliveryOptions): TaskHandle<Awaited<ReturnType<T['handle']>>> {
    if (!(task instanceof Object) || kindOf(task.constructor) !== 'task') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', '`task` must be an object of a class that extends Task')
    const name = nameOf(task.constructor as abstract new () => object)
    const client = needClient(name)
    seeTo(client, task.constructor as typeof Task, name, registerTask)
    const spec = specs.get(task.constructor) ?? addSpec(task.constructor as typeof Task)
    return client.deliver(spec, { ...task }, withSaid(task, options)) as TaskHandle<Awaited<ReturnType<T['handle']>>>
  }
}
addKind(Task, 'task')

const specs = new WeakMap<object, TaskSpec>()

function addSpec(constructor: typeof Task): TaskSpec {
  const spec: TaskSpec = { name: nameOf(constructor), entry: entryOf(constructor), options: {}, read: (output) => (output as Output).result }
  specs.set(constructor, spec)
  return spec
}

/** Says something of one delivery. @throws what a wrong option throws */
export function say<T extends object>(object: T, options: { delay?: number; tries?: number }): T {
  checkDefaults(options)
  said.set(object, { ...said.get(object), ...options })
  return object
}

/** What a delivery says goes before what was said of the object. */
export function withSaid(object: object, options: DeliveryOptions | undefined): (DeliveryOptions & DeliverOptions) | undefined {
  const own = said.get(object)
  return own === undefined ? options : { ...own, ...options }
}

/**
 * Sees to it that workers know a class. In an inline server it is there; in threads it would work by chance, where this one happens to run its own task.
 * @throws ERR_SLUICE_TASK_UNKNOWN
 */
export function seeTo<C extends object>(client: TaskClient, constructor: C, name: string, register: (constructor: C) => void): void {
  if (client.classes === 'register') register(constructor)
  // A process knows what it has itself: its `finish` comes back here. What of its name is known already is left alone.
  else if (client.classes === 'ignore' && findTask(name) === undefined) register(constructor)
  else if (client.classes === 'require' && findTask(name)?.source !== constructor) throw unknownClass(name)
}

/** The error for a class that only this place knows. */
export function unknownClass(name: string): Error {
  return sluiceError('ERR_SLUICE_TASK_UNKNOWN', `No worker knows the class "${name}": export it from the app's module or from one of \`tasks.files\`, or register it where it is defined: static { this.register() }`)
}

/** @throws ERR_SLUICE_INVALID_ARG for a class without a name, or with that of another */
export function registerTask(constructor: abstract new (...args: never[]) => Task): void {
  addTask(nameOf(constructor), entryOf(constructor))
}

function entryOf(constructor: abstract new (...args: never[]) => Task): TaskEntry {
  const prototype = constructor.prototype as Task
  const hasFinish = typeof prototype.finish === 'function'
  const revive = (fields: unknown): Task => Object.assign(Object.create(prototype) as Task, fields)
  return {
    source: constructor,
    run: async (fields, ctx): Promise<Output> => {
      const task = revive(fields)
      const result = await task.handle(ctx)
      return { fields: hasFinish ? { ...task } : undefined, result }
    },
    finish: hasFinish ? (output) => revive((output as Output).fields).finish?.((output as Output).result) : undefined,
    failed: typeof prototype.failed === 'function' ? (error, fields) => revive(fields).failed?.(error) : undefined,
  }
}
