import { headerId } from '../../src-ts/bridge/header-names.ts'
import { BlockWord, BLOCK_BYTES, FIELD_BYTES, HANDSHAKE_SHIFT, LANE_HEADER_BYTES, LaneWord, METHOD_SHIFT, methods, RECORD_WORDS, RecordKind, WELL_KNOWN, Word } from '../../src-ts/bridge/record.ts'
import type { NativeWorker, WorkerMemory } from '../../src-ts/native.ts'
import { FakeConnections } from './fake-connections.ts'

/** One command, as the core would see it. */
export interface Command {
  readonly call: 'respond' | 'respondHead' | 'respondChunk' | 'respondEnd' | 'respondReset' | 'credit' | 'markIdempotent'
  readonly lane: number
  readonly index: number
  readonly generation: number
  /** respond, respondHead */
  readonly status?: number
  readonly template?: number
  readonly flags?: number
  readonly headers?: string
  /** respond, respondChunk */
  readonly body?: string | Buffer | null
  /** respondHead: announced bytes, -1 unknown; credit: bytes given back */
  readonly length?: number
  readonly wantDrain?: boolean
}

/** A request to be written as a record. */
export interface FakeRequest {
  method?: string
  target?: string
  headers?: readonly (readonly [name: string, value: string])[]
  body?: string | Uint8Array
  /** `HttpFlag`s. */
  flags?: number
  /** What the core makes of its fields as a WebSocket handshake, one of `Handshake`. */
  handshake?: number
  index?: number
  generation?: number
  lane?: number
}

/** Names an exchange for the records that follow a request. */
export interface Target {
  readonly index?: number
  readonly generation?: number
  readonly lane?: number
}

/**
 * The core's side of the bridge without a core: a test writes records into the rings byte for byte, wakes the worker as a
 * reactor would, and reads back the commands.
 */
export class FakeNative extends FakeConnections implements NativeWorker {
  readonly commands: Command[] = []
  /** Names of all calls in order, `flush` included. */
  readonly calls: string[] = []
  readonly memory: WorkerMemory
  readonly block: Int32Array
  /** Out-of-line bodies by exchange index. */
  readonly blobs = new Map<number, Buffer>()
  /** What `connectionInfo` gives. */
  connection: string | null = JSON.stringify({ id: 7, port: 'main', remoteAddress: '10.0.0.9', remotePort: 40_000, localAddress: '10.0.0.1', localPort: 80, family: '4', connectedAt: 1, bytesIn: 2, bytesOut: 3, recvQueued: 0, sendQueued: 0 })
  /** Exchanges whose answers are refused, as those of clients that have left. */
  readonly gone = new Set<number>()
  /** What `mayEncode` gives. */
  encodes = true
  isDetached = false
  /** Called at each flush; a test may write records from here, as a reactor on another core would. */
  onFlush: () => void = () => undefined
  readonly #rings: Int32Array[]
  readonly #bytes: Buffer[]
  readonly #size: number
  #wake: () => void = () => undefined
  #changed: (() => void)[] = []

  constructor({ lanes = 1, ringBytes = 1 << 16 } = {}) {
    super()
    const events = Array.from({ length: lanes }, () => new ArrayBuffer(LANE_HEADER_BYTES + ringBytes))
    this.memory = { worker: 3, block: new ArrayBuffer(BLOCK_BYTES), events }
    this.block = new Int32Array(this.memory.block)
    this.#rings = events.map((ring) => new Int32Array(ring))
    this.#bytes = events.map((ring) => Buffer.from(ring))
    this.#size = ringBytes
  }

  // ── the reactor's side ──

  /** Writes a request and publishes it. */
  request(request: FakeRequest = {}): void {
    const { method = 'GET', target = '/', headers = [['host', 'example.test']], flags = 0, handshake = 0, index = 0, generation = 1, lane = 0 } = request
    const known = Math.max(methods.indexOf(method), 0)
    let head = `${method} ${target} HTTP/1.1\r\n`
    const table = Buffer.alloc(headers.length * FIELD_BYTES)
    headers.forEach(([name, value], field) => {
      const id = headerId.get(name.toLowerCase())
      const at = field * FIELD_BYTES
      table.writeUInt16LE(id === undefined ? head.length : WELL_KNOWN, at)
      table.writeUInt16LE(id ?? name.length, at + 2)
      table.writeUInt16LE(head.length + name.length + 2, at + 4)
      table.writeUInt16LE(value.length, at + 6)
      head += `${name}: ${value}\r\n`
    })
    head += '\r\n'
    const body = Buffer.from(request.body ?? '')
    const words = new Int32Array(RECORD_WORDS)
    words[Word.KIND] = RecordKind.HTTP | flags | (known << METHOD_SHIFT) | (headers.length << 16)
    words[Word.GENERATION] = generation
    words[Word.TARGET] = target.length | ((method.length + 1) << 24)
    words[Word.BODY_LENGTH] = body.length
    words[Word.HEAD_LENGTH] = head.length | (handshake << HANDSHAKE_SHIFT)
    words[Word.INDEX] = index
    this.write(words, [table, Buffer.from(head, 'latin1'), body], lane)
  }

  /** A request whose body lies outside the ring. */
  blobRequest(request: FakeRequest & { body: string | Uint8Array }, blobFlag: number): void {
    this.blobs.set(request.index ?? 0, Buffer.from(request.body))
    this.request({ ...request, body: '', flags: (request.flags ?? 0) | blobFlag })
  }

  chunk(data: string | Uint8Array, target: Target = {}): void {
    const body = Buffer.from(data)
    this.#follow(RecordKind.BODY_CHUNK, target, { [Word.BODY_LENGTH]: body.length }, [body])
  }

  bodyEnd(flags = 0, target: Target = {}): void {
    this.#follow(RecordKind.BODY_END | flags, target)
  }

  abort(reason: number, target: Target = {}): void {
    this.#follow(RecordKind.ABORT, target, { [Word.TARGET]: reason })
  }

  drained(target: Target = {}): void {
    this.#follow(RecordKind.DRAIN, target)
  }

  /** Something about a task. */
  task(target: Target = {}): void {
    this.#follow(RecordKind.TASK_PROGRESS, target)
  }

  /** A call of a task, without anything that would be called. */
  call(target: Target = {}): void {
    this.#follow(RecordKind.TASK, target)
  }

  /** Writes one record, with a PAD before it where it would wrap, and publishes both. */
  write(words: Int32Array, parts: readonly Buffer[], lane = 0): void {
    const ring = this.#rings[lane]!
    const length = (RECORD_WORDS * 4 + parts.reduce((sum, part) => sum + part.length, 0) + 7) & ~7
    let tail = ring[LaneWord.TAIL]!
    const room = this.#size - (tail & (this.#size - 1))
    if (length > room) {
      const at = (LANE_HEADER_BYTES + (tail & (this.#size - 1))) >>> 2
      ring[at] = room
      ring[at + 1] = RecordKind.PAD
      tail = (tail + room) | 0
    }
    if (((tail + length - ring[LaneWord.HEAD]!) | 0) > this.#size) throw new Error('The fake ring is full')
    const start = LANE_HEADER_BYTES + (tail & (this.#size - 1))
    words[Word.LENGTH] = length
    ring.set(words, start >>> 2)
    let offset = start + RECORD_WORDS * 4
    for (const part of parts) offset += part.copy(this.#bytes[lane]!, offset)
    Atomics.store(ring, LaneWord.TAIL, (tail + length) | 0)
  }

  /** Wakes the worker if it is parked, as a reactor does after publishing. True when it was. */
  wake(): boolean {
    if (Atomics.compareExchange(this.block, BlockWord.PARKED, 1, 0) !== 1) return false
    this.#wake()
    return true
  }

  /** Calls the wake-up whatever `parked` says. */
  wakeAnyway(): void {
    this.#wake()
  }

  /** Starts the free-running positions of a lane somewhere else; before the worker attaches. */
  startAt(position: number, lane = 0): void {
    this.#rings[lane]![LaneWord.TAIL] = position | 0
    this.#rings[lane]![LaneWord.HEAD] = position | 0
  }

  head(lane = 0): number {
    return this.#rings[lane]![LaneWord.HEAD]!
  }

  tail(lane = 0): number {
    return this.#rings[lane]![LaneWord.TAIL]!
  }

  /** Overwrites what the worker has given back, as later records would. */
  scribble(lane = 0): void {
    this.#bytes[lane]!.fill(0x58, LANE_HEADER_BYTES)
  }

  /** Puts a word into a ring where it does not belong. */
  poke(word: number, value: number, lane = 0): void {
    this.#rings[lane]![(LANE_HEADER_BYTES >>> 2) + word] = value
  }

  /** Resolves when `enough` commands match. Fails by the test's own time limit, naming nothing: see `t.timeout`. */
  async until(enough: (commands: readonly Command[]) => boolean): Promise<void> {
    while (!enough(this.commands)) await new Promise<void>((resolve) => this.#changed.push(resolve))
  }

  /** The commands for one exchange. */
  of(index: number): Command[] {
    return this.commands.filter((command) => command.index === index)
  }

  // ── NativeWorker ──

  attachWorker(_server: number, _slot: number, wake: () => void): WorkerMemory {
    this.#wake = wake
    return this.memory
  }

  detachWorker(_worker: number): void {
    this.calls.push('detachWorker')
    this.isDetached = true
  }

  respond(_worker: number, lane: number, index: number, generation: number, meta: number, headers: string, body: string | Uint8Array | null): boolean {
    return this.#take({ call: 'respond', lane, index, generation, ...parts(meta), headers, body: typeof body === 'string' || body === null ? body : Buffer.from(body) })
  }

  respondHead(_worker: number, lane: number, index: number, generation: number, meta: number, headers: string, length: number): boolean {
    return this.#take({ call: 'respondHead', lane, index, generation, ...parts(meta), headers, length })
  }

  respondChunk(_worker: number, lane: number, index: number, generation: number, data: string | Uint8Array, wantDrain: boolean): boolean {
    return this.#take({ call: 'respondChunk', lane, index, generation, body: Buffer.from(data as Uint8Array), wantDrain })
  }

  respondEnd(_worker: number, lane: number, index: number, generation: number): boolean {
    return this.#take({ call: 'respondEnd', lane, index, generation })
  }

  respondReset(_worker: number, lane: number, index: number, generation: number): boolean {
    return this.#take({ call: 'respondReset', lane, index, generation })
  }

  respondFile(): number {
    return 0
  }

  credit(_worker: number, lane: number, index: number, generation: number, bytes: number): void {
    this.#take({ call: 'credit', lane, index, generation, length: bytes })
  }

  readonly BodyDecoder = class {
    readonly isKnown = false
    decode(): null {
      return null
    }
    free(): void {}
  }

  formOpen(): number {
    return -1
  }

  formWrite(): { step: number } {
    return { step: 4 }
  }

  formEnd(): { step: number } {
    return { step: 4 }
  }

  formContent(): null {
    return null
  }

  formBytes(): null {
    return null
  }

  formClose(): void {}

  detachExchange(): number {
    return -1
  }

  claimExchange(): number {
    return -1
  }

  mayEncode(): boolean {
    return this.encodes
  }

  markIdempotent(_worker: number, lane: number, index: number, generation: number): boolean {
    return this.#take({ call: 'markIdempotent', lane, index, generation })
  }

  takeBlob(_worker: number, _lane: number, index: number, _generation: number): Buffer | undefined {
    const blob = this.blobs.get(index)
    this.blobs.delete(index)
    return blob
  }

  connectionInfo(): string | null {
    this.calls.push('connectionInfo')
    return this.connection
  }

  flush(_worker: number): void {
    this.calls.push('flush')
    this.onFlush()
  }

  protected override noted(call: string): void {
    this.calls.push(call)
  }

  #take(command: Command): boolean {
    this.calls.push(command.call)
    if (this.gone.has(command.index)) return false
    this.commands.push(command)
    const changed = this.#changed
    this.#changed = []
    for (const resolve of changed) resolve()
    return true
  }

  #follow(kind: number, { index = 0, generation = 1, lane = 0 }: Target, more: Record<number, number> = {}, bytes: readonly Buffer[] = []): void {
    const words = new Int32Array(RECORD_WORDS)
    words[Word.KIND] = kind
    words[Word.GENERATION] = generation
    words[Word.INDEX] = index
    for (const [word, value] of Object.entries(more)) words[Number(word)] = value
    this.write(words, bytes, lane)
  }
}

function parts(meta: number): Required<Pick<Command, 'status' | 'template' | 'flags'>> {
  return { status: meta & 0xffff, template: (meta >>> 16) & 0xff, flags: meta >>> 24 }
}
