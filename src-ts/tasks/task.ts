import { sluiceTypeError } from '../errors.ts'
import type { Awaitable, Cloneable } from '../process/api.ts'
import { checkName } from './name.ts'

/** What a task's handler gets beside its input. */
export interface TaskContext {
  /** Of this call; no other call of the server has it. */
  readonly id: string
  /** Which try of the call this is. @default 1 */
  readonly attempt: number
  /** How many there may be. @default 1 */
  readonly tries: number
  /** Aborted when the worker must go and has waited long enough: what is left to do is cut off soon. */
  readonly signal: AbortSignal
}

/** A task with its input, to be handed to those who call it later: {@link SharedTimers}. */
export interface TaskCall {
  /** The name of the task. */
  readonly task: string
  /** Structured-cloneable. */
  readonly input: Cloneable
}

/** A task that is defined. */
export interface TaskDef<I> {
  readonly name: string
  /** A call of this task. The input is copied when the call is handed over, by structured clone. */
  call(...input: undefined extends I ? [input?: I] : [input: I]): TaskCall
}

/** What a task does. What it throws or rejects with is told to the `error` event. */
export type TaskHandler<I> = (input: I, ctx: TaskContext) => Awaitable<unknown>

/** By name: the tasks of this thread. */
const tasks = new Map<string, TaskHandler<unknown>>()

/**
 * Defines a task. Do it at the top level of a module that every worker imports: whoever calls the task may do so in another thread, and it
 * runs in any worker.
 *
 * @param name 1 to 255 bytes of UTF-8, unique in the application
 * @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG for a name that is none or taken, or a handler that is no function
 */
export function defineTask<I = undefined>(name: string, handle: TaskHandler<I>): TaskDef<I> {
  checkName(name, 'The name of a task')
  if (typeof handle !== 'function') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The handler of task "${name}" must be a function, got ${typeof handle}`)
  if (tasks.has(name)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is a task "${name}" already`)
  tasks.set(name, handle as TaskHandler<unknown>)
  return { name, call: (...[input]) => ({ task: name, input }) }
}

/** The handler of a task, if this thread has defined it. */
export function findTask(name: string): TaskHandler<unknown> | undefined {
  return tasks.get(name)
}
