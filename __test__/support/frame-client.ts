import { connect, type Socket } from 'node:net'

/** The longest message: some are too long for the ring, some have their own memory in the core. */
const MESSAGE_BYTES_MAX = 20_000
const HEADER_BYTES = 4
/** Kind and number. */
const HEAD_BYTES = 5

export const Kind = { NOW: 0, LATER: 1, DIE: 2 } as const

/**
 * A client that sends numbered messages with their length before them, each in two pieces with time between them, and believes
 * nothing: what comes back must be what was sent, in order and once.
 */
export class FrameClient {
  readonly #socket: Socket
  readonly #kind: number
  readonly #heard: () => void
  /** What is not back yet, by number. */
  readonly #sent = new Map<number, Buffer>()
  /** The rest of a message that has begun. */
  #half: Buffer | undefined
  #input: Buffer = Buffer.alloc(0)
  #number = 0
  #back = 0
  #last: number | undefined
  /** Messages that never came back. */
  lost = 0
  echoes = 0
  readonly failures: string[] = []
  readonly #closed: Promise<unknown>

  /** `heard` is called for each message that comes back. */
  constructor(port: number, kind: number, heard: () => void) {
    this.#kind = kind
    this.#heard = heard
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', (bytes) => this.#take(bytes))
    this.#socket.on('error', (error) => this.failures.push(error.message))
    this.#closed = new Promise((resolve) => this.#socket.on('close', resolve))
    this.#socket.on('close', () => {
      if (this.#sent.size > 0) this.failures.push(`the connection ended with ${this.#sent.size} messages under way`)
    })
  }

  get connected(): Promise<void> {
    return new Promise((resolve) => (this.#socket.connecting ? this.#socket.once('connect', () => resolve()) : resolve()))
  }

  /** Sends the rest of the message that has begun, and the beginning of the next one. */
  step(random: () => number): void {
    const bytes = this.#message(this.#kind, Math.floor(random() ** 4 * MESSAGE_BYTES_MAX))
    const cut = 1 + Math.floor(random() * (bytes.length - 1))
    this.#socket.write(Buffer.concat([this.#half ?? Buffer.alloc(0), bytes.subarray(0, cut)]))
    this.#half = bytes.subarray(cut)
  }

  /** Sends a whole message. */
  say(): void {
    this.#socket.write(this.#message(this.#kind, 0))
  }

  /** Sends a message that kills its worker. */
  die(way: number): void {
    const bytes = Buffer.from([0, 0, 0, 2, Kind.DIE, way])
    this.#socket.write(bytes)
  }

  /** Sends what has begun and a last message, whose echo says that nothing is under way; then FIN. */
  async finish(): Promise<void> {
    const bytes = this.#message(Kind.NOW, 0)
    this.#last = this.#number
    this.#socket.write(Buffer.concat([this.#half ?? Buffer.alloc(0), bytes]))
    this.#half = undefined
    await this.#closed
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #message(kind: number, length: number): Buffer {
    const bytes = Buffer.alloc(HEADER_BYTES + HEAD_BYTES + length, this.#number & 0xff)
    bytes.writeUInt32BE(HEAD_BYTES + length)
    bytes[HEADER_BYTES] = kind
    this.#number += 1
    bytes.writeUInt32BE(this.#number, HEADER_BYTES + 1)
    this.#sent.set(this.#number, bytes)
    return bytes
  }

  #take(bytes: Buffer): void {
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes])
    while (this.#input.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#input.readUInt32BE()
      if (this.#input.length < end) return
      this.#echo(this.#input.subarray(0, end))
      this.#input = this.#input.subarray(end)
    }
  }

  #echo(bytes: Buffer): void {
    this.echoes += 1
    this.#heard()
    const number = bytes.readUInt32BE(HEADER_BYTES + 1)
    if (number <= this.#back) this.failures.push(`${number} came again, or late: ${this.#back} was there before`)
    for (let gone = this.#back + 1; gone < number; gone += 1) {
      this.lost += 1
      if (this.#kind === Kind.NOW) this.failures.push(`${gone} is lost: ${number} came`)
      this.#sent.delete(gone)
    }
    if (this.#sent.get(number)?.equals(bytes) !== true) this.failures.push(`${number} came back as something else`)
    this.#sent.delete(number)
    this.#back = Math.max(this.#back, number)
    if (this.#back === this.#last) this.#socket.end()
  }
}
