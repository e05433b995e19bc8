/**
 * What tasks, events and listeners this thread knows, by name. It hangs on `globalThis` because the application may see another copy of this module than
 * the one that runs its tasks (a second bundle, a compiler's module cache).
 */
import { sluiceTypeError } from '../errors.ts'
import type { Awaitable } from '../process/api.ts'
import type { TaskClient } from './client.ts'
import type { TaskContext } from './context.ts'

/** How a thread runs tasks of one name. */
export interface TaskEntry {
  /** What was registered: a second time it is the same. */
  readonly source: unknown
  /** One try. What it gives crosses to whoever delivered the task; `report` takes errors that do not make it fail, with its name. */
  run(input: unknown, ctx: TaskContext, report: (error: unknown, task: string) => void): Awaitable<unknown>
  /** With what `run` gave. */
  readonly finish: ((output: unknown, input: unknown) => unknown) | undefined
  readonly failed: ((error: unknown, input: unknown) => unknown) | undefined
}

interface Registry {
  readonly tasks: Map<string, TaskEntry>
  readonly listeners: Map<string, new () => unknown>
  /** Of the servers that run in this thread, the one that was started last at the end. */
  readonly clients: TaskClient[]
}

const KEY: unique symbol = Symbol.for('sluice.tasks') as never
const holder = globalThis as typeof globalThis & { [KEY]?: Registry }
const registry: Registry = (holder[KEY] ??= { tasks: new Map(), listeners: new Map(), clients: [] })

/** @throws TypeError ERR_SLUICE_INVALID_ARG when there is another of that name */
export function addTask(name: string, entry: TaskEntry): void {
  const known = registry.tasks.get(name)
  if (known !== undefined && known.source === entry.source) return
  if (known !== undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is a task "${name}" already`)
  registry.tasks.set(name, entry)
}

/** The task of a name, if this thread knows it. */
export function findTask(name: string): TaskEntry | undefined {
  return registry.tasks.get(name)
}

/** @throws TypeError ERR_SLUICE_INVALID_ARG when there is another of that name */
export function addListener(name: string, listener: new () => unknown): void {
  const known = registry.listeners.get(name)
  if (known !== undefined && known !== listener) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is a listener "${name}" already`)
  registry.listeners.set(name, listener)
}

/** The listener of a name, if this thread knows it. */
export function findListener(name: string): (new () => unknown) | undefined {
  return registry.listeners.get(name)
}

/** Makes `client` the one that {@link currentClient} gives in this thread. */
export function enterClient(client: TaskClient): void {
  registry.clients.push(client)
}

/** Takes it back. */
export function leaveClient(client: TaskClient): void {
  const at = registry.clients.indexOf(client)
  if (at >= 0) registry.clients.splice(at, 1)
}

/** The tasks of the server that was started last in this thread and still runs. */
export function currentClient(): TaskClient | undefined {
  return registry.clients[registry.clients.length - 1]
}
