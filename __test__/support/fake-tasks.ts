import { Lane } from '../../src-ts/bridge/lane.ts'
import { LANE_HEADER_BYTES, RECORD_WORDS, RecordKind, TASK_WORDS, TaskFlag, TaskNewsWord, TaskWord, Word } from '../../src-ts/bridge/record.ts'
import type { NativeCalls, NativeTasks } from '../../src-ts/native.ts'
import { Calls } from '../../src-ts/tasks/calls.ts'
import { TaskClient, type TaskClientOptions } from '../../src-ts/tasks/client.ts'
import { enterClient, leaveClient } from '../../src-ts/tasks/registry.ts'

/** A task as `submitTask` was called with it. */
export interface Submitted {
  readonly id: number
  readonly worker: number
  readonly name: string
  readonly options: number[]
  readonly input: Buffer
  readonly key: string | null
}

/** What `endCall` was called with. */
export interface Ended {
  readonly call: number
  readonly outcome: number
  readonly bytes: Buffer
}

/** What is called, and what it gets. */
export interface FakeCall {
  readonly call?: number
  readonly mode?: number
  readonly extra?: Uint8Array
  readonly end?: number
  readonly attempt?: number
  readonly tries?: number
  /** A worker's number, and its kind above 16 bits. */
  readonly origin?: number
  readonly isParcel?: boolean
}

/** One thread that delivers tasks and runs them, on a core that decides nothing: the test says what becomes of what was submitted. */
export class FakeTasks implements NativeTasks, NativeCalls {
  readonly submitted: Submitted[] = []
  readonly ended: Ended[] = []
  /** Of each of them, whether it may be told later. */
  readonly soon: boolean[] = []
  readonly reports: unknown[] = []
  readonly client: TaskClient
  readonly calls: Calls
  /** What `submitTask` says instead of an id. */
  refusal = 0
  /** Calls that may not begin. */
  readonly gone = new Set<number>()
  status = 1
  cancels = 1
  list: object = { queues: [], failed: [] }
  /** Handlers that are pending. */
  pending = 0
  /** As in a drain. */
  isHeld = true
  readonly #prepared: { readonly name: string; readonly options: Uint8Array; readonly key: string | null }[] = []
  readonly #parcels = new Map<string, Uint8Array>()

  constructor({ classes = 'register', worker = 3, queues = ['default', 'mail'] }: Partial<Pick<TaskClientOptions, 'classes' | 'queues'>> & { worker?: number } = {}) {
    const report = (error: unknown): void => void this.reports.push(error)
    this.client = new TaskClient({ native: this, server: () => 7, queues, isDurable: false, report, classes })
    if (worker >= 0) this.client.attach(worker)
    this.calls = new Calls({ native: this, worker, report, isHeld: () => this.isHeld, begin: () => void this.pending++, end: () => void this.pending-- })
    enterClient(this.client)
  }

  /** Its tasks are those of the thread no longer. */
  leave(): void {
    leaveClient(this.client)
  }

  /** The task that was submitted last. */
  get last(): Submitted {
    return this.submitted.at(-1)!
  }

  /** Hands a task to the worker; what the call ended with, if it has. */
  run({ id, input, name }: Pick<Submitted, 'id' | 'input' | 'name'> = this.last, { attempt = 1, call = id + 100, end = 0, extra = Buffer.alloc(0), isParcel = false, mode = 0, origin = -1, tries = 1 }: FakeCall = {}): Ended | undefined {
    const before = this.ended.length
    const text = Buffer.from(name)
    const bytes = [Buffer.alloc((TASK_WORDS - RECORD_WORDS) * 4), text, ...(isParcel ? [] : [input, Buffer.from(extra)])]
    if (isParcel) this.#parcels.set(`${call} 0`, input).set(`${call} 1`, extra)
    const flags = (mode | (isParcel ? TaskFlag.PARCEL : 0)) << 8
    const { at, lane } = record(RecordKind.TASK | flags, { [TaskWord.ID_LOW]: call, [TaskWord.NAME_LENGTH]: text.length, [TaskWord.INPUT_LENGTH]: input.length, [TaskWord.EXTRA_LENGTH]: extra.length, [TaskWord.ATTEMPT]: attempt | (tries << 16), [TaskWord.TASK_LOW]: id, [TaskWord.FROM]: origin, [TaskWord.END]: end }, bytes)
    this.calls.deliver(lane, at)
    // What is kept of the record must not lie in the ring.
    lane.bytes.fill(0x58)
    return this.ended[before]
  }

  abort(call: number, why: number): void {
    const { at, lane } = record(RecordKind.TASK_ABORT, { [TaskNewsWord.ID_LOW]: call, [TaskNewsWord.END]: why }, [])
    this.calls.abortOne(lane, at)
  }

  /** Tells how a task ended. */
  result(task: number, end: number, bytes: Uint8Array = Buffer.alloc(0), { attempts = 1, isParcel = false } = {}): void {
    if (isParcel) this.#parcels.set(`${task} 2`, bytes)
    const { at, lane } = record(RecordKind.TASK_RESULT | (isParcel ? TaskFlag.PARCEL << 8 : 0), { [TaskNewsWord.ID_LOW]: task, [TaskNewsWord.END]: end, [TaskNewsWord.LENGTH]: bytes.length, [TaskNewsWord.ATTEMPTS]: attempts }, isParcel ? [] : [Buffer.from(bytes)])
    this.client.result(lane, at)
    lane.bytes.fill(0x58)
  }

  progress(task: number, bytes: Uint8Array): void {
    const { at, lane } = record(RecordKind.TASK_PROGRESS, { [TaskNewsWord.ID_LOW]: task, [TaskNewsWord.LENGTH]: bytes.length }, [Buffer.from(bytes)])
    this.client.progress(lane, at)
  }

  submitTask(_server: number, worker: number, name: string, options: Uint8Array, input: Uint8Array | null, key: string | null): number {
    if (this.refusal < 0) return this.refusal
    // One task for one key, as the core has it.
    const known = key === null ? undefined : this.submitted.find((task) => task.key === key && task.name === name)
    const id = known?.id ?? this.submitted.length + 1
    this.submitted.push({ id, worker, name, options: [...new Float64Array(options.slice().buffer)], input: Buffer.from(input ?? []), key })
    return id
  }

  prepareTask(name: string, options: Uint8Array, key: string | null): number {
    return this.#prepared.push({ name, options: options.slice(), key }) - 1
  }

  submitPrepared(server: number, worker: number, task: number, input: Uint8Array): number {
    const { key, name, options } = this.#prepared[task]!
    return this.submitTask(server, worker, name, options, input, key)
  }

  cancelTask(): number {
    return this.cancels
  }

  taskStatus(): number {
    return this.status
  }

  taskList(): string {
    return JSON.stringify(this.list)
  }

  retryTask(_server: number, id: number): boolean {
    return id === 1
  }

  forgetTask(_server: number, id: number): boolean {
    return id === 1
  }

  beginCall(_worker: number, id: number): boolean {
    return !this.gone.has(id)
  }

  endCall(_worker: number, call: number, outcome: number, bytes: Uint8Array | null, soon: boolean): boolean {
    this.ended.push({ call, outcome, bytes: Buffer.from(bytes ?? []) })
    this.soon.push(soon)
    return !this.gone.has(call)
  }

  callProgress(_worker: number, call: number, bytes: Uint8Array): boolean {
    this.progress(call - 100, bytes)
    return true
  }

  takeParcel(_worker: number, id: number, part: number): Buffer | undefined {
    const bytes = this.#parcels.get(`${id} ${part}`)
    this.#parcels.delete(`${id} ${part}`)
    return bytes && Buffer.from(bytes)
  }
}

/** One record alone in a ring. */
function record(kind: number, values: Record<number, number>, parts: readonly Buffer[]): { lane: Lane; at: number } {
  const length = RECORD_WORDS * 4 + parts.reduce((sum, part) => sum + part.length, 0)
  const ring = new ArrayBuffer(LANE_HEADER_BYTES + 2 ** Math.ceil(Math.log2(length)))
  const words = new Int32Array(ring)
  const at = LANE_HEADER_BYTES >>> 2
  words[at + Word.LENGTH] = length
  words[at + Word.KIND] = kind
  Buffer.concat(parts).copy(Buffer.from(ring), LANE_HEADER_BYTES + RECORD_WORDS * 4)
  for (const [word, value] of Object.entries(values)) words[at + Number(word)] = value
  return { lane: new Lane(0, ring), at }
}
