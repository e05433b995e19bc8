import { sluiceRangeError, sluiceTypeError } from '../errors.ts'
import { checkName } from './name.ts'
import { checkTransfer } from './transfer.ts'

/** The wait before a task that failed is tried again: the same each time, or twice as long each time. */
export type Backoff =
  | number
  | {
      readonly type: 'exponential'
      /** Milliseconds before the second try. */
      readonly base: number
      /** Longest wait, in milliseconds. @default 3_600_000 */
      readonly max?: number
      /** Waits a random part of it, from the half up, so that what failed together does not come back together. @default false */
      readonly jitter?: boolean
    }

/** How a task is delivered. Given with the definition, for every delivery; with a delivery, for that one. */
export interface DeliverOptions {
  /** Milliseconds until it may run. Kept by the core: reload and crash of workers do not lose it. @default 0 */
  readonly delay?: number
  /** How often it is tried in all, 1 to 65 535. A throw, a time-out and the death of its worker end a try. @default 1 */
  readonly tries?: number
  /** Milliseconds before the next try, or how they grow. @default 0 */
  readonly backoff?: Backoff
  /** Milliseconds that one try may take; then its signal is aborted, and the try has failed. @default undefined any */
  readonly timeout?: number
  /** A 32-bit integer; of tasks that wait in one queue, those with the higher one go first, then the older ones. @default 0 */
  readonly priority?: number
  /** While a task of this name and this key waits or runs, a delivery is that one: both handles hear how it ends. 1 to 255 bytes. @default undefined none */
  readonly key?: string
  /** A queue of `tasks.queues`. @default 'default' */
  readonly queue?: string
  /** The id of the only worker that may run it; the task waits until it is there. @default undefined any of its queue */
  readonly worker?: number
  /** Where there is `tasks.durable`: whether the task outlives the process. @default true */
  readonly durable?: boolean
}

/** {@link DeliverOptions}, and what concerns one delivery only. */
export interface DeliveryOptions extends DeliverOptions {
  /** Aborting it cancels the task. */
  readonly signal?: AbortSignal
  /** Buffers that are detached when the task is delivered, as structured clone does it; what cannot be detached stays as it is. Their bytes are copied nonetheless. @default [] */
  readonly transfer?: readonly ArrayBuffer[]
}

/** Where the core looks for what: the array that `submitTask` takes. */
const Option = { PRIORITY: 0, DELAY: 1, TRIES: 2, TIMEOUT: 3, BACKOFF_BASE: 4, BACKOFF_MAX: 5, JITTER: 6, QUEUE: 7, WORKER: 8, FLAGS: 9 } as const
const LENGTH = 10
const Flag = { FINISH: 1, FAILED: 2, DURABLE: 4 } as const

/** A task record has 16 bits for each. */
const TRIES_MAX = 65_535
const WORKER_MAX = 65_535
const BACKOFF_MAX_MS = 3_600_000
const I32_MAX = 2 ** 31 - 1

const known = new Set<string>(['delay', 'tries', 'backoff', 'timeout', 'priority', 'key', 'queue', 'worker', 'signal', 'transfer', 'durable'] satisfies (keyof DeliveryOptions)[])
const backoffMembers = new Set<string>(['type', 'base', 'max', 'jitter'])

/** The options of a task that has none. */
export function defaultNumbers(entry: { readonly finish: unknown; readonly failed: unknown }, durable = false): Float64Array {
  const numbers = new Float64Array(LENGTH)
  numbers[Option.TRIES] = 1
  numbers[Option.WORKER] = -1
  numbers[Option.FLAGS] = (entry.finish === undefined ? 0 : Flag.FINISH) | (entry.failed === undefined ? 0 : Flag.FAILED) | (durable ? Flag.DURABLE : 0)
  return numbers
}

/**
 * Writes what `options` say into `numbers`. `queueIndex` finds a queue by its name; below 0 there is none.
 *
 * @throws TypeError or RangeError ERR_SLUICE_INVALID_ARG that names the option
 */
export function writeOptions(numbers: Float64Array, options: DeliveryOptions, queueIndex: (name: string) => number): void {
  if (typeof options !== 'object' || options === null) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The options of a task must be an object, got ${options === null ? 'null' : typeof options}`)
  for (const name in options) if (!known.has(name)) throw unknownOption(name)
  const { backoff, delay, durable, key, priority, queue, signal, timeout, transfer, tries, worker } = options
  if (delay !== undefined) numbers[Option.DELAY] = millis(delay, 'delay')
  if (tries !== undefined) numbers[Option.TRIES] = whole(tries, 'tries', 1, TRIES_MAX)
  if (timeout !== undefined) numbers[Option.TIMEOUT] = millis(timeout, 'timeout')
  if (priority !== undefined) numbers[Option.PRIORITY] = whole(priority, 'priority', -I32_MAX - 1, I32_MAX)
  if (worker !== undefined) numbers[Option.WORKER] = whole(worker, 'worker', 0, WORKER_MAX)
  if (backoff !== undefined) writeBackoff(numbers, backoff)
  if (key !== undefined) checkName(key, '`key`')
  if (queue !== undefined) numbers[Option.QUEUE] = queueOf(queue, queueIndex)
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`signal\` must be an AbortSignal, got ${typeof signal}`)
  if (transfer !== undefined) checkTransfer(transfer)
  if (durable !== undefined) writeDurable(numbers, durable)
}

function unknownOption(name: string): Error {
  const ofDefinition = name === 'finish' || name === 'failed'
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', ofDefinition ? `\`${name}\` is an option of the definition of a task` : `There is no option \`${name}\` of tasks`)
}

/** Whether a task of these options outlives the process, where there is a journal. */
export function isDurable(numbers: Float64Array): boolean {
  return (numbers[Option.FLAGS]! & Flag.DURABLE) !== 0
}

function writeDurable(numbers: Float64Array, durable: boolean): void {
  if (typeof durable !== 'boolean') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`durable\` must be a boolean, got ${typeof durable}`)
  numbers[Option.FLAGS] = durable ? numbers[Option.FLAGS]! | Flag.DURABLE : numbers[Option.FLAGS]! & ~Flag.DURABLE
}

function writeBackoff(numbers: Float64Array, backoff: Backoff): void {
  if (typeof backoff === 'number') {
    numbers[Option.BACKOFF_BASE] = millis(backoff, 'backoff')
    numbers[Option.BACKOFF_MAX] = 0
    return
  }
  if (typeof backoff !== 'object' || backoff === null || backoff.type !== 'exponential') {
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`backoff\` must be milliseconds or { type: 'exponential', base }, got ${typeof backoff}`)
  }
  for (const name in backoff) if (!backoffMembers.has(name)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is no member \`${name}\` of \`backoff\``)
  const { base: first, jitter = false, max } = backoff
  if (typeof jitter !== 'boolean') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`backoff.jitter\` must be a boolean, got ${typeof jitter}`)
  const base = millis(first, 'backoff.base')
  numbers[Option.BACKOFF_BASE] = base
  // 0 would say that it is fixed.
  numbers[Option.BACKOFF_MAX] = Math.max(1, millis(max ?? Math.max(base, BACKOFF_MAX_MS), 'backoff.max'))
  numbers[Option.JITTER] = jitter ? 1 : 0
}

function queueOf(name: string, queueIndex: (name: string) => number): number {
  if (typeof name !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`queue\` must be a string, got ${typeof name}`)
  const index = queueIndex(name)
  if (index < 0) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is no queue "${name}"; queues are listed in \`tasks.queues\` of the configuration`)
  return index
}

/** Fractions are rounded up. */
function millis(value: number, name: string): number {
  if (typeof value !== 'number') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`${name}\` must be a number of milliseconds, got ${typeof value}`)
  if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `\`${name}\` must be from 0 to 2^53 - 1, got ${value}`)
  return Math.ceil(value)
}

function whole(value: number, name: string, min: number, max: number): number {
  if (typeof value !== 'number') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`${name}\` must be a number, got ${typeof value}`)
  if (!(Number.isInteger(value) && value >= min && value <= max)) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `\`${name}\` must be a whole number from ${min} to ${max}, got ${value}`)
  return value
}
