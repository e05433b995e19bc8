import { registerEvent, type Event } from '../events/event.ts'
import { registerListener, type Listener } from '../events/listener.ts'
import { kindOf } from './class-kind.ts'
import { registerTask, type Task } from './task-class.ts'

/** Makes the classes known that a module exports, also in the object that a CommonJS module is. */
export function registerExports(module: object): void {
  const { default: inner, ...named } = module as { default?: unknown }
  for (const value of [inner, ...Object.values(named), ...(typeof inner === 'object' && inner !== null ? Object.values(inner) : [])]) register(value)
}

function register(value: unknown): void {
  switch (kindOf(value)) {
    case 'task':
      return registerTask(value as abstract new () => Task)
    case 'event':
      return registerEvent(value as abstract new () => Event)
    case 'listener':
      return registerListener(value as new () => Listener)
  }
}
