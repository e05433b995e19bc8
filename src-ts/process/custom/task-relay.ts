import { Lane } from '../../bridge/lane.ts'
import { LANE_HEADER_BYTES, RECORD_WORDS, TaskFlag, TaskNewsWord } from '../../bridge/record.ts'
import type { NativeTasks } from '../../native.ts'
import { End } from '../../tasks/failure.ts'

/** Which parcel a result is. */
const RESULT_PARCEL = 2

/** Whoever delivers by the relay, and hears of its tasks. */
export interface Deliverer {
  told(record: Uint8Array): void
}

/** Delivers the tasks of processes of their own, and tells them what becomes of these, record by record. In the master, attached as a worker that runs nothing. */
export class TaskRelay {
  readonly #native: NativeTasks
  readonly #server: () => number
  readonly #open: (relay: TaskRelay) => void
  #worker = -1
  /** By task, those whose end was not heard yet. */
  readonly #tasks = new Map<number, Set<Deliverer>>()

  /** `open` attaches it, when the first task comes. */
  constructor(native: NativeTasks, server: () => number, open: (relay: TaskRelay) => void) {
    this.#native = native
    this.#server = server
    this.#open = open
  }

  attach(worker: number): void {
    this.#worker = worker
  }

  detach(): void {
    this.#worker = -1
    this.#tasks.clear()
  }

  /** As the native call. */
  submit(deliverer: Deliverer, name: string, options: Uint8Array, input: Uint8Array | null, key: string | null): number {
    if (this.#worker < 0) this.#open(this)
    const task = this.#native.submitTask(this.#server(), this.#worker, name, options, input, key)
    if (task < 0) return task
    const those = this.#tasks.get(task)
    if (those) those.add(deliverer)
    else this.#tasks.set(task, new Set([deliverer]))
    return task
  }

  /** A result that was too long for its record. */
  parcel(task: number): Buffer | undefined {
    return this.#worker < 0 ? undefined : this.#native.takeParcel(this.#worker, task, RESULT_PARCEL)
  }

  /** It has gone. */
  forget(deliverer: Deliverer): void {
    for (const [task, those] of this.#tasks) if (those.delete(deliverer) && those.size === 0) this.#tasks.delete(task)
  }

  /** Passes a TASK_RESULT record on. */
  result(lane: Lane, at: number): void {
    const end = lane.words[at + TaskNewsWord.END]!
    if (end === End.STORED) this.#tellAll(lane, at)
    else this.#tell(lane, at, end !== End.NOT_STORED)
  }

  /** Passes a TASK_PROGRESS record on. */
  progress(lane: Lane, at: number): void {
    this.#tell(lane, at, false)
  }

  /** It names tasks of many. */
  #tellAll(lane: Lane, at: number): void {
    const record = recordAt(lane, at)
    for (const one of new Set([...this.#tasks.values()].flatMap((those) => [...those]))) one.told(record)
  }

  #tell(lane: Lane, at: number, isOver: boolean): void {
    const { words } = lane
    const task = (words[at + TaskNewsWord.ID_LOW]! >>> 0) + words[at + TaskNewsWord.ID_HIGH]! * 2 ** 32
    const those = this.#tasks.get(task)
    if (isOver) this.#tasks.delete(task)
    if (those === undefined) return
    const record = recordAt(lane, at)
    for (const one of those) one.told(record)
  }
}

/** A copy of it, with the bytes that follow it. */
function recordAt({ bytes, words }: Lane, at: number): Uint8Array {
  const isParcel = ((words[at + TaskNewsWord.KIND]! >>> 8) & TaskFlag.PARCEL) !== 0
  const from = at * 4
  return Uint8Array.prototype.slice.call(bytes, from, from + RECORD_WORDS * 4 + (isParcel ? 0 : words[at + TaskNewsWord.LENGTH]!))
}

/** A lane with this record alone, for those who read records; its word index. */
export function laneOf(record: Uint8Array): { readonly lane: Lane; readonly at: number } {
  let length = 64
  while (length < record.length) length *= 2
  const ring = new Uint8Array(LANE_HEADER_BYTES + length)
  ring.set(record, LANE_HEADER_BYTES)
  const lane = new Lane(0, ring.buffer)
  return { lane, at: lane.at(0) }
}
