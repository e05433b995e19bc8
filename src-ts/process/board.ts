/**
 * The notice board that all threads of a server can read at any time without asking anyone: who works, since when, and
 * how full their heaps are. The master writes rows and counters, each worker its own vitals. Figures for people only:
 * nothing is decided by another thread's row but recycling, which does not mind a value a second old.
 */

import type { WorkerKind } from './api.ts'
import { kindOf, roleOf, threadName, type Place } from './place.ts'

const SLOTS = 256
const ROW = 12
const HEADER = 8
/** Words of the header. */
const RELOADS = 0
const CRASHES = 1
const STUCK = 2
const START_TIME = 3
const PROCESSES = 4
const PROCESSES_STUCK = 5
/** Words of a row. */
const ID = 0
const STATUS = 1
const SINCE = 2
const HEAP = 3
const ELU = 4
const THREAD = 5
const GENERATION = 6
const STAY = 7
const ROLE = 8
const INDEX = 9
const TASKS = 10
const TASKING = 11

const STATUSES = ['starting', 'serving', 'exiting'] as const
export type BoardStatus = (typeof STATUSES)[number]

export interface BoardRow {
  readonly slot: number
  readonly id: number
  readonly kind: WorkerKind
  /** As {@link Place.name}. */
  readonly name: string
  readonly status: BoardStatus
  /** When it began to serve, milliseconds since the epoch; 0 before. */
  readonly since: number
  readonly heapUsed: number
  readonly elu: number
  readonly threadId: number
  readonly generation: number
  /** Calls of tasks that it has begun. */
  readonly tasks: number
  /** Calls of tasks in its hands. */
  readonly tasking: number
}

export type BoardCounter = 'reloads' | 'crashes' | 'stuck' | 'processesStuck'
const COUNTERS = { reloads: RELOADS, crashes: CRASHES, stuck: STUCK, processesStuck: PROCESSES_STUCK } as const

export class Board {
  readonly buffer: SharedArrayBuffer
  readonly #words: Float64Array
  #stays = 0

  /** Without `buffer`: a new board, started now. */
  constructor(buffer?: SharedArrayBuffer) {
    this.buffer = buffer ?? new SharedArrayBuffer((HEADER + SLOTS * ROW) * 8)
    this.#words = new Float64Array(this.buffer)
    if (buffer === undefined) this.#words[START_TIME] = Date.now()
  }

  get startTime(): number {
    return this.#words[START_TIME] as number
  }

  counter(name: BoardCounter): number {
    return this.#words[COUNTERS[name]] as number
  }

  /** Master only. */
  count(name: BoardCounter): void {
    this.#words[COUNTERS[name]] = this.counter(name) + 1
  }

  /** How many custom processes run. */
  get processes(): number {
    return this.#words[PROCESSES] as number
  }

  /** Master only. */
  set processes(count: number) {
    this.#words[PROCESSES] = count
  }

  /** Master only: a thread has been started in this slot. Returns what {@link Board.leave} needs. */
  enter(slot: number, { id, kind, index }: Pick<Place, 'id' | 'kind' | 'index'>, generation: number): number {
    const at = HEADER + slot * ROW
    this.#words.fill(0, at, at + ROW)
    this.#words[at + GENERATION] = generation
    this.#words[at + STATUS] = STATUSES.indexOf('starting')
    this.#words[at + ROLE] = roleOf(kind)
    this.#words[at + INDEX] = index
    this.#words[at + ID] = id + 1
    this.#stays += 1
    this.#words[at + STAY] = this.#stays
    return this.#stays
  }

  /** Master only. */
  setStatus(slot: number, status: BoardStatus): void {
    const at = HEADER + slot * ROW
    this.#words[at + STATUS] = STATUSES.indexOf(status)
    if (status === 'serving') this.#words[at + SINCE] = Date.now()
  }

  /** Master only: the thread has ended. Nothing happens when another one has entered since: a stuck thread may end late. */
  leave(slot: number, stay: number): void {
    const at = HEADER + slot * ROW
    if (this.#words[at + STAY] === stay) this.#words.fill(0, at, at + ROW)
  }

  /** The worker in that slot only. `elu` is 0 … 1. */
  setVitals(slot: number, threadId: number, heapUsed: number, elu: number): void {
    const at = HEADER + slot * ROW
    this.#words[at + THREAD] = threadId
    this.#words[at + HEAP] = heapUsed
    this.#words[at + ELU] = elu
  }

  /** The worker in that slot only. */
  addTasks(slot: number, begun: number, inHand: number): void {
    const at = HEADER + slot * ROW
    this.#words[at + TASKS]! += begun
    this.#words[at + TASKING]! += inHand
  }

  row(slot: number): BoardRow | undefined {
    const [id = 0, status = 0, since = 0, heapUsed = 0, elu = 0, threadId = 0, generation = 0, , role = 0, index = 0, tasks = 0, tasking = 0] = this.#words.subarray(HEADER + slot * ROW, HEADER + (slot + 1) * ROW)
    if (id === 0) return undefined
    const kind = kindOf(role)
    return { slot, id: id - 1, kind, name: threadName(kind, index), status: STATUSES[status] ?? 'starting', since, heapUsed, elu, threadId, generation, tasks, tasking }
  }

  /** Every thread there is, by id, older generations first. */
  rows(): BoardRow[] {
    const rows: BoardRow[] = []
    for (let slot = 0; slot < SLOTS; slot += 1) {
      const row = this.row(slot)
      if (row) rows.push(row)
    }
    return rows.sort((a, b) => a.id - b.id || a.generation - b.generation)
  }
}
