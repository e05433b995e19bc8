/** What is known of the calls that tasks have made of themselves, beside what crosses. */
import type { TaskSpec } from './client.ts'

const specs = new WeakMap<object, TaskSpec>()

/** Notes whose call it is. */
export function noteSpec<T extends object>(call: T, spec: TaskSpec): T {
  specs.set(call, spec)
  return call
}

/** The task that made a call; undefined for one that was written by hand or has come from another thread. */
export function specOf(call: object): TaskSpec | undefined {
  return specs.get(call)
}
