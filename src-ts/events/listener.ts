import type { Awaitable } from '../process/api.ts'
import { addKind, nameOf } from '../tasks/class-kind.ts'
import type { TaskContext } from '../tasks/context.ts'
import { addListener } from '../tasks/registry.ts'
import type { Event } from './event.ts'

/** What is done when an event is fired; made anew, without arguments, for each. Workers know it as they know a {@link Task}. */
export abstract class Listener<E extends Event = Event> {
  /** The name by which workers know the class. @default the name of the class */
  declare static readonly id?: string

  /** Does it. With false the listeners behind it do not run. What it throws in its last try goes to the `error` event, and they do run. */
  abstract handle(event: E, ctx: TaskContext): Awaitable<void | boolean>

  /** Makes the class known to this thread; for a class that is exported by no module of the application. */
  static register(this: new () => Listener): void {
    registerListener(this)
  }
}
addKind(Listener, 'listener')

/** @throws ERR_SLUICE_INVALID_ARG for a class without a name, or with that of another */
export function registerListener(constructor: new () => Listener): void {
  addListener(nameOf(constructor), constructor)
}
