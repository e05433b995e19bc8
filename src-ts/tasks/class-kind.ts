import { sluiceTypeError } from '../errors.ts'
import { checkName } from './name.ts'

/**
 * Which classes are the application's tasks, events and listeners. Marked by a symbol, as the application may extend another copy of the base class than the one
 * that is here (a second bundle, a compiler's module cache).
 */
const KIND: unique symbol = Symbol.for('sluice.kind') as never

export type ClassKind = 'task' | 'event' | 'listener'
type AnyClass = abstract new (...args: never[]) => object

/** Marks a base class, and so those that extend it. */
export function addKind(constructor: AnyClass, kind: ClassKind): void {
  Object.defineProperty(constructor, KIND, { value: kind })
}

/** What a class extends; undefined for a base class itself, and for anything else. */
export function kindOf(value: unknown): ClassKind | undefined {
  if (typeof value !== 'function' || Object.hasOwn(value, KIND)) return undefined
  return (value as { [KIND]?: ClassKind })[KIND]
}

/** The name by which workers know a class: its own `static id`, else its name. @throws ERR_SLUICE_INVALID_ARG when it has none */
export function nameOf(constructor: AnyClass): string {
  // A subclass is another class: it does not have its parent's.
  const name: unknown = Object.hasOwn(constructor, 'id') ? (constructor as { id?: unknown }).id : constructor.name
  if (name === '') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'A class of tasks, events or listeners must have a name, or a `static id`')
  checkName(name, 'The name of a class of tasks')
  return name
}
