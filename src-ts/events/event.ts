import { sluiceTypeError } from '../errors.ts'
import { addKind, kindOf, nameOf } from '../tasks/class-kind.ts'
import type { TaskSpec } from '../tasks/client.ts'
import type { DeliveryOptions } from '../tasks/deliver-options.ts'
import type { TaskHandle } from '../tasks/handle.ts'
import { addTask, findListener, type TaskEntry } from '../tasks/registry.ts'
import { say, seeTo, unknownClass, withSaid } from '../tasks/task-class.ts'
import { checkDefaults, needClient } from '../tasks/task.ts'
import { registerListener, type Listener } from './listener.ts'
import { type Fired, runListeners, stop } from './run-listeners.ts'

/**
 * Something that has happened in the application, in the manner of LaravelS. Fired, its listeners run one after the other in one task worker, each awaited. Its
 * fields travel as those of a {@link Task}, and workers know its class as they know one.
 */
export abstract class Event {
  /** The name by which workers know the class. @default the name of the class */
  declare static readonly id?: string

  /** Who hears of it, in this order. A field or a getter. */
  abstract readonly listeners: readonly (new () => Listener)[]

  /** Milliseconds until the listeners run. */
  delay(ms: number): this {
    return say(this, { delay: ms })
  }

  /** How often each listener is tried in all. @default 1 */
  setTries(tries: number): this {
    return say(this, { tries })
  }

  /** In a listener: those behind it do not run. */
  stopPropagation(): void {
    stop(this)
  }

  /** Makes the class known to this thread; for a class that is exported by no module of the application. */
  static register(this: abstract new (...args: never[]) => Event): void {
    registerEvent(this)
  }

  /**
   * Fires an event. Its handle ends when the last listener has; that one of them fails does not make it fail. `tries` and a `backoff` in milliseconds are those
   * of each listener. Otherwise as `deliver` of a {@link TaskDef}.
   *
   * @throws ERR_SLUICE_TASK_UNKNOWN for a class that is not known to the workers
   */
  static fire(event: Event, options?: DeliveryOptions): TaskHandle<void> {
    if (!(event instanceof Object) || kindOf(event.constructor) !== 'event') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', '`event` must be an object of a class that extends Event')
    const constructor = event.constructor as typeof Event
    const name = nameOf(constructor)
    const client = needClient(name)
    seeTo(client, constructor, name, registerEvent)
    const fields: { listeners?: unknown } = { ...event }
    delete fields.listeners
    const { backoff = 0, tries = 1, ...delivery } = withSaid(event, options) ?? {}
    checkDefaults({ backoff, tries })
    if (typeof backoff !== 'number') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', '`backoff` of an event must be a number of milliseconds')
    const fired: Fired = { fields, listeners: listenersOf(event, name, client.classes), tries, backoff }
    return client.deliver(specOf(constructor, name), fired, delivery) as TaskHandle<void>
  }
}
addKind(Event, 'event')

/** @throws ERR_SLUICE_INVALID_ARG for a class without a name, or with that of another */
export function registerEvent(constructor: abstract new (...args: never[]) => Event): void {
  const name = nameOf(constructor)
  const prototype = constructor.prototype as Event
  const entry: TaskEntry = {
    source: constructor,
    run: (input, ctx, report) => {
      const fired = input as Fired
      return runListeners(Object.assign(Object.create(prototype) as Event, fired.fields), fired, ctx, (error) => report(error, name))
    },
    finish: undefined,
    failed: undefined,
  }
  addTask(name, entry)
}

const specs = new WeakMap<object, TaskSpec>()

function specOf(constructor: object, name: string): TaskSpec {
  let spec = specs.get(constructor)
  if (spec === undefined) specs.set(constructor, (spec = { name, entry: { finish: undefined, failed: undefined }, options: {} }))
  return spec
}

/** The names of an event's listeners. */
function listenersOf(event: Event, name: string, classes: 'register' | 'require' | 'ignore'): string[] {
  const { listeners } = event
  if (!Array.isArray(listeners) || listeners.some((listener) => kindOf(listener) !== 'listener')) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`listeners\` of event "${name}" must be a list of classes that extend Listener`)
  }
  // What a getter gives, the worker gets by itself.
  const isField = Object.hasOwn(event, 'listeners')
  return (listeners as (new () => Listener)[]).map((listener) => {
    const key = nameOf(listener)
    if (classes === 'register') registerListener(listener)
    else if (classes === 'require' && isField && findListener(key) === undefined) throw unknownClass(key)
    return key
  })
}
