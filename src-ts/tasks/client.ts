import { utf8Slice, type Lane } from '../bridge/lane.ts'
import { RECORD_WORDS, TaskFlag, TaskNewsWord } from '../bridge/record.ts'
import { sluiceError, sluiceRangeError } from '../errors.ts'
import type { NativeTasks } from '../native.ts'
import type { ResolvedConfig } from '../options.ts'
import { defaultNumbers, isDurable, writeOptions, type DeliveryOptions, type DeliverOptions } from './deliver-options.ts'
import { End } from './failure.ts'
import { TaskHandle, type HandleHost, type TaskStatus } from './handle.ts'
import { decodePayload, encodePayload } from './payload.ts'
import { detach } from './transfer.ts'

/** How tasks of one name are delivered. */
export interface TaskSpec {
  readonly name: string
  /** Whether it has a `finish` and a `failed`. */
  readonly entry: { readonly finish: unknown; readonly failed: unknown }
  /** What each delivery has that does not say it otherwise. */
  readonly options: DeliverOptions
  /** Takes the result out of what a handler's call gives. @default as it is */
  readonly read?: ((output: unknown) => unknown) | undefined
}

/** What the tasks of one server are delivered with. */
export interface TaskClientOptions {
  readonly native: NativeTasks
  /** The server as the core names it. @throws ERR_SLUICE_INVALID_STATE before it is started */
  readonly server: () => number
  /** The names of the queues, in the order in which the core has them. */
  readonly queues: readonly string[]
  /** Whether there is a journal. */
  readonly isDurable: boolean
  /** Hears of tasks that nobody else tells of. */
  readonly report: (error: unknown) => void
  /**
   * What becomes of a class when the first object of it is delivered. `register`: all workers are this thread, and know it from then on; `require`: it
   * must be known, as others only know what they have imported; `ignore`: this thread imports what it likes, and the workers know what it cannot see.
   */
  readonly classes: 'register' | 'require' | 'ignore'
  /** Attaches the thread when it delivers its first task, where nothing else does. */
  readonly open?: (() => void) | undefined
}

/** What of a configuration concerns those who deliver. */
export function deliverySettings({ durable, queues }: ResolvedConfig['tasks']): Pick<TaskClientOptions, 'queues' | 'isDurable'> {
  return { queues: queues.map(({ name }) => name), isDurable: durable !== false }
}

/** What the options of a task come to, which do not change. */
interface Prepared {
  /** As the core takes them. */
  readonly numbers: Float64Array
  /** The core's own name for them, in this thread. */
  readonly number: number
  readonly isDurable: boolean
  /** The beginning of an error. */
  readonly where: string
}

/** Bytes that name one row of tasks that are stored. */
const STORED_BYTES = 16
/** What `submitTask` says beside an id. */
const Refusal = { TASKS: -1, BYTES: -2, STOPPING: -3, ORIGINS: -4, WORKER: -7 } as const
/** What `taskStatus` says. */
const statuses: readonly (TaskStatus | undefined)[] = [undefined, 'queued', 'delayed', 'running']
/** Which parcel a result is. */
const RESULT_PARCEL = 2
const NOTHING = Buffer.alloc(0)

/** The tasks that one thread delivers to its server, and what it hears of them. */
export class TaskClient implements HandleHost {
  readonly #options: TaskClientOptions
  #worker = -1
  /** By id, those whose end is not heard yet. The core bounds how many there can be. */
  readonly #handles = new Map<number, TaskHandle<unknown>>()
  readonly #prepared = new WeakMap<TaskSpec, Prepared>()
  /** For the options of one delivery: what is allocated outside of V8's heap costs more than all else here. */
  #scratch: Float64Array | undefined

  constructor(options: TaskClientOptions) {
    this.#options = options
  }

  get classes(): TaskClientOptions['classes'] {
    return this.#options.classes
  }

  get hears(): boolean {
    return this.#worker >= 0
  }

  /** The thread is attached: results come from now on. */
  attach(worker: number): void {
    this.#worker = worker
  }

  /** They do not come any more. */
  detach(): void {
    this.#worker = -1
    for (const [task, handle] of this.#handles) this.#settle(task, handle, End.STOPPED, 0, undefined, NOTHING)
  }

  /** @throws what `run` rejects with that is known at once */
  deliver(spec: TaskSpec, input: unknown, options?: DeliveryOptions): TaskHandle<unknown> {
    const { native, open, server } = this.#options
    const { name } = spec
    const signal = options?.signal
    const prepared = this.#prepare(spec)
    // Before the options, which getters of the input could deliver with.
    const bytes = encodePayload(input, prepared.where)
    let task: number
    let durable = prepared.isDurable
    if (options === undefined) {
      if (!this.hears) open?.()
      task = native.submitPrepared(server(), this.#worker, prepared.number, bytes)
    } else {
      // Taken away while getters of the options may deliver, too.
      const numbers = this.#scratch ?? new Float64Array(prepared.numbers.length)
      this.#scratch = undefined
      numbers.set(prepared.numbers)
      writeOptions(numbers, options, this.#queueIndex)
      if (signal?.aborted) throw sluiceError('ERR_SLUICE_TASK_CANCELLED', `Task "${name}" was not delivered: its \`signal\` is aborted`, { cause: signal.reason })
      if (!this.hears) open?.()
      task = native.submitTask(server(), this.#worker, name, bytesOf(numbers), bytes, options.key ?? spec.options.key ?? null)
      durable = this.#options.isDurable && isDurable(numbers)
      this.#scratch = numbers
    }
    if (task < 0) throw refused(task, name)
    if (options?.transfer !== undefined) detach(options.transfer)
    const handle = new TaskHandle(this, task, name, spec.read, durable)
    if (signal !== undefined) handle.follow(signal)
    if (this.hears) {
      handle.sibling = this.#handles.get(task)
      this.#handles.set(task, handle)
    }
    return handle
  }

  /** Runs a TASK_RESULT record. */
  result(lane: Lane, at: number): void {
    const { words } = lane
    const task = (words[at + TaskNewsWord.ID_LOW]! >>> 0) + words[at + TaskNewsWord.ID_HIGH]! * 2 ** 32
    const handle = this.#handles.get(task)
    const end = words[at + TaskNewsWord.END]!
    const attempts = words[at + TaskNewsWord.ATTEMPTS]!
    let { bytes } = lane
    let from = (at + RECORD_WORDS) * 4
    let to = from + words[at + TaskNewsWord.LENGTH]!
    if ((words[at + TaskNewsWord.KIND]! >>> 8) & TaskFlag.PARCEL) {
      bytes = this.#options.native.takeParcel(this.#worker, task, RESULT_PARCEL) ?? NOTHING
      from = 0
      to = bytes.length
    }
    if (end === End.STORED) {
      for (; from < to; from += STORED_BYTES) this.#stored(bytes.readDoubleLE(from), bytes.readDoubleLE(from + STORED_BYTES / 2))
      return
    }
    if (handle === undefined) return
    if (end === End.NOT_STORED) {
      const why = utf8Slice.call(bytes, from, to)
      for (let each: TaskHandle<unknown> | undefined = handle; each !== undefined; each = each.sibling) each.isStored(why)
      return
    }
    if (end !== End.DONE) return this.#settle(task, handle, end, attempts, undefined, bytes.subarray(from, to))
    let output: unknown
    try {
      output = decodePayload(bytes, from, to)
    } catch (cause) {
      const error = sluiceError('ERR_SLUICE_INTERNAL', `The result of task ${task} cannot be read`, { cause })
      this.#handles.delete(task)
      for (let each: TaskHandle<unknown> | undefined = handle; each !== undefined; each = each.sibling) each.fail(() => error, 'failed')
      return
    }
    this.#settle(task, handle, end, attempts, output, NOTHING)
  }

  /** Runs a TASK_PROGRESS record. */
  progress(lane: Lane, at: number): void {
    const { bytes, words } = lane
    const task = (words[at + TaskNewsWord.ID_LOW]! >>> 0) + words[at + TaskNewsWord.ID_HIGH]! * 2 ** 32
    const first = this.#handles.get(task)
    if (first === undefined) return
    const from = (at + RECORD_WORDS) * 4
    const value = decodePayload(bytes, from, from + words[at + TaskNewsWord.LENGTH]!)
    for (let handle: TaskHandle<unknown> | undefined = first; handle !== undefined; handle = handle.sibling) handle.told(value)
  }

  status(task: number): TaskStatus | undefined {
    const { native, server } = this.#options
    const status = statuses[native.taskStatus(server(), task)]
    if (status !== undefined || this.hears) return status
    // Nobody told this thread; those that have failed are kept for a while.
    const { failed } = JSON.parse(native.taskList(server())) as { failed: { id: number }[] }
    return failed.some(({ id }) => id === task) ? 'failed' : 'done'
  }

  cancel(task: number): boolean {
    const { native, server } = this.#options
    return native.cancelTask(server(), task) !== 0
  }

  deaf(name: string): Error {
    return sluiceError('ERR_SLUICE_INVALID_STATE', `The result of task "${name}" does not come here: tasks are awaited in workers, once their app is loaded`)
  }

  #settle(task: number, first: TaskHandle<unknown>, end: number, attempts: number, output: unknown, bytes: Uint8Array): void {
    this.#handles.delete(task)
    for (let handle: TaskHandle<unknown> | undefined = first; handle !== undefined; handle = handle.sibling) handle.end(end, attempts, output, bytes)
    // The worker that could have told of it is the one that died.
    if (end === End.WORKER_LOST) first.then(undefined, this.#options.report)
  }

  /** The options of a task, as the bytes that the core takes. @throws TypeError ERR_SLUICE_INVALID_ARG for a queue that is not there */
  optionsOf(spec: TaskSpec): Uint8Array {
    return bytesOf(this.#prepare(spec).numbers)
  }

  /** So many tasks are stored, from this one on. */
  #stored(first: number, count: number): void {
    for (let task = first; task < first + count; task++) {
      for (let handle = this.#handles.get(task); handle !== undefined; handle = handle.sibling) handle.isStored()
    }
  }

  #prepare(spec: TaskSpec): Prepared {
    let prepared = this.#prepared.get(spec)
    if (prepared === undefined) {
      const { isDurable: hasJournal, native } = this.#options
      const numbers = defaultNumbers(spec.entry, hasJournal)
      writeOptions(numbers, spec.options, this.#queueIndex)
      const number = native.prepareTask(spec.name, bytesOf(numbers), spec.options.key ?? null)
      prepared = { numbers, number, isDurable: hasJournal && isDurable(numbers), where: `The input of task "${spec.name}"` }
      this.#prepared.set(spec, prepared)
    }
    return prepared
  }

  readonly #queueIndex = (name: string): number => this.#options.queues.indexOf(name)
}

function bytesOf(numbers: Float64Array): Uint8Array {
  return new Uint8Array(numbers.buffer)
}

function refused(why: number, name: string): Error {
  switch (why) {
    case Refusal.TASKS:
      return sluiceError('ERR_SLUICE_TASK_QUEUE_FULL', `Task "${name}" was not delivered: there are as many tasks as \`tasks.max\` allows`)
    case Refusal.BYTES:
      return sluiceError('ERR_SLUICE_TASK_QUEUE_FULL', `Task "${name}" was not delivered: there are as many bytes of tasks as \`tasks.bytes\` allows`)
    case Refusal.ORIGINS:
      return sluiceError('ERR_SLUICE_TASK_QUEUE_FULL', `Task "${name}" was not delivered: too many wait for the one with this \`key\``)
    case Refusal.WORKER:
      return sluiceRangeError('ERR_SLUICE_INVALID_ARG', `Task "${name}" was not delivered: there is never a worker of the id that \`worker\` names`)
    case Refusal.STOPPING:
      return sluiceError('ERR_SLUICE_SHUTTING_DOWN', `Task "${name}" was not delivered: the server is stopping`)
    default:
      return sluiceError('ERR_SLUICE_INTERNAL', `Task "${name}" was not delivered: ${why}`)
  }
}
