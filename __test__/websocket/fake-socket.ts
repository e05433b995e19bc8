import type { ExecutionContext } from 'ava'
import { Handshake, Opcode, RECORD_WORDS, RecordKind, SocketFlag, SocketWord } from '../../src-ts/bridge/record.ts'
import type { FakeConnection } from '../support/fake-connections.ts'
import type { FakeNative, FakeRequest } from '../support/fake-native.ts'

/** The bytes of `by` in a WS_CLOSE record. */
export const By = { PEER: 0, SERVER: 1, IDLE: 2, ERROR: 3, SHUTDOWN: 4, OVERFLOW: 5 } as const

/** How a message comes. */
export interface MessageOptions {
  opcode?: number
  fin?: boolean
  compressed?: boolean
  /** Outside the ring. */
  blob?: boolean
  /** @default the next number, which then goes up */
  sequence?: number
  /** @default that of the last resume */
  epoch?: boolean
}

/**
 * The reactor's side of one connection, without a reactor: writes the records about it, in the numbers and the epoch that a
 * reactor would give them, and reads what the worker has said.
 */
export class FakeSocket {
  readonly id: number
  readonly slot: number
  readonly generation: number
  readonly lane: number
  readonly native: FakeNative
  /** The number of the next message. */
  next = 0
  /** Whether the epoch bit is set. */
  epoch = false
  #handle = -1

  constructor(native: FakeNative, { generation = 5, id = 1000, lane = 0, slot = 2 }: { generation?: number; id?: number; lane?: number; slot?: number } = {}) {
    this.native = native
    this.id = id
    this.slot = slot
    this.generation = generation
    this.lane = lane
  }

  /** WS_OPEN for the exchange at `index`. */
  open(index = 0, { missed }: { missed?: number } = {}): void {
    this.#write(RecordKind.WS_OPEN | (missed === undefined ? 0 : 1 << 8), { [SocketWord.DETAIL]: index, [SocketWord.SEQUENCE]: missed ?? 0, ...this.#idWords() })
  }

  /** WS_ADOPT from the worker with this number. */
  adopt({ from = 1, next = this.next, reason = 0 }: { from?: number; next?: number; reason?: number } = {}): void {
    this.next = next
    this.epoch = false
    this.#write(RecordKind.WS_ADOPT, { [SocketWord.DETAIL]: reason | (from << 8), [SocketWord.SEQUENCE]: next | 0, ...this.#idWords() })
  }

  message(data: string | Uint8Array, { blob = false, compressed = false, epoch = this.epoch, fin = true, opcode = typeof data === 'string' ? Opcode.TEXT : Opcode.BINARY, sequence }: MessageOptions = {}): number {
    const payload = Buffer.from(data)
    const number = sequence ?? this.next
    if (sequence === undefined) this.next = (this.next + 1) >>> 0
    if (blob) this.native.messages.set(`${this.slot}/${number}`, payload)
    const flags = (blob ? SocketFlag.BLOB : 0) | (fin ? SocketFlag.FIN : 0) | (compressed ? SocketFlag.COMPRESSED : 0) | (epoch ? SocketFlag.EPOCH : 0)
    this.#write(RecordKind.WS_MESSAGE | flags, { [SocketWord.DETAIL]: opcode, [SocketWord.PAYLOAD_LENGTH]: payload.length, [SocketWord.SEQUENCE]: number | 0 }, blob ? [] : [payload])
    return number
  }

  close(code = 1000, { by = By.PEER, clean = true, reason = '', sequence }: { by?: number; clean?: boolean; reason?: string; sequence?: number } = {}): void {
    const number = sequence ?? this.next
    if (sequence === undefined) this.next = (this.next + 1) >>> 0
    const payload = Buffer.from(reason)
    this.#write(RecordKind.WS_CLOSE | (this.epoch ? SocketFlag.EPOCH : 0), { [SocketWord.DETAIL]: code | (by << 16) | (clean ? 1 << 24 : 0), [SocketWord.PAYLOAD_LENGTH]: payload.length, [SocketWord.SEQUENCE]: number | 0 }, [payload])
  }

  drain(): void {
    this.#write(RecordKind.WS_DRAIN)
  }

  high(): void {
    this.#write(RecordKind.WS_HIGH)
  }

  handover(): void {
    this.#write(RecordKind.WS_HANDOVER)
  }

  /** WS_SETTLE: the core wants to know when no handler runs. */
  settle(): void {
    this.#write(RecordKind.WS_SETTLE)
  }

  /** What the core knows of it. */
  get core(): FakeConnection {
    return this.native.attached.get(this.handle)!
  }

  /** What the worker calls it; the last one, when it was let go. */
  get handle(): number {
    for (const [handle, { id }] of this.native.attached) if (id === this.id) this.#handle = handle
    if (this.#handle < 0) throw new Error(`Connection ${this.id} is not attached`)
    return this.#handle
  }

  /** The worker has said `resume`: records come in the other epoch, from the number it named on. */
  resumed(): void {
    const next = this.native.resumedAt.get(this.handle)
    if (next === undefined) throw new Error('The worker has not resumed')
    this.native.resumedAt.delete(this.handle)
    this.next = next
    this.epoch = !this.epoch
  }

  #idWords(): Record<number, number> {
    return { [SocketWord.ID_LOW]: this.id | 0, [SocketWord.ID_HIGH]: Math.floor(this.id / 2 ** 32) }
  }

  #write(kind: number, more: Record<number, number> = {}, parts: readonly Buffer[] = []): void {
    const words = new Int32Array(RECORD_WORDS)
    words[SocketWord.KIND] = kind
    words[SocketWord.SLOT] = this.slot | (this.lane << 24)
    words[SocketWord.GENERATION] = this.generation
    for (const [word, value] of Object.entries(more)) words[Number(word)] = value
    this.native.write(words, parts, this.lane)
  }
}

/** Fields of a handshake, with more of them. */
export function handshake(more: readonly (readonly [string, string])[] = [], request: FakeRequest = {}): FakeRequest {
  return {
    target: '/live',
    handshake: Handshake.VALID,
    headers: [['host', 'example.test'], ['upgrade', 'websocket'], ['connection', 'Upgrade'], ['sec-websocket-version', '13'], ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='], ...more],
    ...request,
  }
}

/** A connection that has been opened from a handshake; the calls for it are not noted any more. */
export function opened(native: FakeNative, name: ConstructorParameters<typeof FakeSocket>[1] = {}, request: FakeRequest = {}): FakeSocket {
  native.request(handshake([], request))
  native.wake()
  const socket = new FakeSocket(native, { lane: request.lane ?? 0, ...name })
  socket.open(request.index ?? 0)
  native.wake()
  native.connectionCalls.length = 0
  return socket
}

/** Lets every promise that can settle do so. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A promise to be settled by a test. */
export class Gate {
  readonly promise: Promise<void>
  open!: () => void
  fail!: (error: unknown) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.open = resolve
      this.fail = reject
    })
  }
}

/** Fails unless the calls since the last look are these. */
export function saw(t: ExecutionContext, { native }: FakeSocket, calls: readonly string[]): void {
  t.deepEqual(native.takeCalls(), calls)
}
