import { sluiceError } from '../errors.ts'
import type { Cloneable } from '../process/api.ts'
import { nameOf } from '../tasks/class-kind.ts'
import type { TaskContext, TaskOrigin } from '../tasks/context.ts'
import { findListener } from '../tasks/registry.ts'
import type { Event } from './event.ts'
import type { Listener } from './listener.ts'

/** What crosses when an event is fired. */
export interface Fired {
  readonly fields: object
  /** The names of its listeners, in their order. */
  readonly listeners: readonly string[]
  /** How often each is tried. */
  readonly tries: number
  /** Milliseconds before it is tried again. */
  readonly backoff: number
}

/** Events whose propagation was stopped. */
const stopped = new WeakSet<object>()

/** The listeners behind the one that runs do not run. */
export function stop(event: object): void {
  stopped.add(event)
}

/** Runs the listeners of an event one after the other. One that fails is reported, and does not stop the others. */
export async function runListeners(event: Event, { listeners, tries, backoff }: Fired, ctx: TaskContext, report: (error: unknown) => void): Promise<void> {
  for (const name of listeners) {
    // Nobody waits for the event any more: what has not begun of it does not. A worker that must go still does what it can.
    if (!isHurried(ctx.signal)) ctx.signal.throwIfAborted()
    const constructor = findListener(name) ?? declared(event, name)
    if (constructor === undefined) {
      report(sluiceError('ERR_SLUICE_TASK_UNKNOWN', `No listener "${name}" is known in this worker: export it from the app's module or from one of \`tasks.files\``))
      continue
    }
    const goesOn = await runListener(constructor, event, { tries, backoff }, ctx, report)
    if (!goesOn || stopped.has(event)) return
  }
}

/** Whether the next one runs. */
async function runListener(constructor: new () => unknown, event: Event, { tries, backoff }: { tries: number; backoff: number }, ctx: TaskContext, report: (error: unknown) => void): Promise<boolean> {
  let listener: Listener | undefined
  for (let attempt = 1; ; attempt++) {
    try {
      listener ??= new constructor() as Listener
      return (await listener.handle(event, new ListenerContext(ctx, attempt, tries))) !== false
    } catch (error) {
      // Nor is it tried again, in either case.
      ctx.signal.throwIfAborted()
      if (attempt >= tries) {
        report(error)
        return true
      }
      if (backoff > 0) await pause(backoff, ctx.signal)
    }
  }
}

function isHurried({ reason }: AbortSignal): boolean {
  return reason instanceof Error && 'code' in reason && reason.code === 'ERR_SLUICE_SHUTTING_DOWN'
}

/** Of an event whose `listeners` is a getter: the class is there although no module exports it. */
function declared(event: Event, name: string): (new () => unknown) | undefined {
  return event.listeners?.find((listener) => nameOf(listener) === name)
}

/** @throws the reason of the signal when that is aborted meanwhile */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', leave)
      resolve()
    }, ms)
    signal.addEventListener('abort', leave, { once: true })
  })
}

/** What a listener sees of the event's task: its own tries. */
class ListenerContext implements TaskContext {
  readonly #task: TaskContext
  readonly attempt: number
  readonly tries: number

  constructor(task: TaskContext, attempt: number, tries: number) {
    this.#task = task
    this.attempt = attempt
    this.tries = tries
  }

  get id(): string {
    return this.#task.id
  }

  get from(): TaskOrigin | undefined {
    return this.#task.from
  }

  get signal(): AbortSignal {
    return this.#task.signal
  }

  get progress(): (value: Cloneable) => void {
    return this.#task.progress
  }
}
