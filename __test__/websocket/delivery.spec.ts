/**
 * A worker and a model of the reactor, in random order: records that were in the ring before the reactor had read a pause, handlers that
 * settle in any order, pauses of the app, and the connection handed from worker to worker.
 */
import fc from 'fast-check'
import test from 'ava'
import { SocketFlag } from '../../src-ts/bridge/record.ts'
import { startFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { FakeSocket, Gate, turn } from './fake-socket.ts'

/** What happens next. */
const step = fc.record({
  do: fc.oneof(
    { weight: 6, arbitrary: fc.constant('message' as const) },
    { weight: 5, arbitrary: fc.constant('run' as const) },
    { weight: 5, arbitrary: fc.constant('settle' as const) },
    { weight: 4, arbitrary: fc.constant('read' as const) },
    { weight: 1, arbitrary: fc.constantFrom('pause' as const, 'resume' as const, 'handover' as const) },
  ),
  pick: fc.nat(1000),
})

/**
 * The reactor as far as one connection is concerned: numbers messages, hands out what is next while it knows of no pause, and takes
 * back what is returned. What the worker says reaches it only when it reads.
 */
class Reactor {
  readonly messages: string[] = []
  readonly concurrency: number
  readonly begun: string[] = []
  readonly pending: Gate[] = []
  running = 0
  most = 0
  closes = 0
  worker!: FakeWorker
  socket!: FakeSocket
  /** Handed out to the owner; the next to hand out. */
  out = 0
  isPaused = false
  isLeaving = false
  isOver = false
  held: { pause(): void; resume(): void } | undefined

  constructor(concurrency: number) {
    this.concurrency = concurrency
  }

  /** Another worker gets the connection, from the message with this number. */
  adoptBy(next: number): void {
    this.worker = startFakeWorker(
      {
        websocket: {
          concurrency: this.concurrency,
          message: (ws, data) => {
            this.held = ws
            this.begun.push(String(data))
            this.most = Math.max(this.most, ++this.running)
            // Every other one answers at once.
            if (this.begun.length % 2 === 0) {
              this.running--
              return
            }
            const gate = new Gate()
            this.pending.push(gate)
            return gate.promise.finally(() => this.running--)
          },
          close: () => {
            this.closes++
          },
        },
      },
      { ringBytes: 1 << 18 },
    )
    this.socket = new FakeSocket(this.worker.native)
    this.socket.adopt({ next })
    this.out = next
    this.isPaused = false
    this.isLeaving = false
    this.held = undefined
  }

  /**
   * Nothing is under way. Only then the app pauses: one bit of epoch cannot tell a record from before one pause from one after the
   * next, see "two pauses in one turn" in serve.spec.ts.
   */
  get isQuiet(): boolean {
    const { native } = this.worker
    return native.connectionCalls.length === 0 && native.head() === native.tail()
  }

  /** Hands out what there is. */
  give(): void {
    while (!this.isPaused && !this.isLeaving && !this.isOver && this.out < this.messages.length) {
      const data = this.messages[this.out]!
      if (data === 'close') this.socket.close(1000, { sequence: this.out })
      else this.socket.message(data, { sequence: this.out })
      this.out++
    }
  }

  /** Reads what the worker has said, in order. */
  read(): void {
    for (const { args, call } of this.worker.native.connectionCalls.splice(0)) {
      if (call === 'pauseConnection') this.isPaused = true
      if (call === 'resumeConnection') {
        this.isPaused = false
        this.socket.epoch = !this.socket.epoch
        this.out = args[0] as number
      }
      if (call === 'returnMessage') {
        const [number, word, , data] = args as [number, number, number, Buffer]
        // The reactor has given it out for this very time, and expects it back only if it was in the way of a pause.
        if (!this.isPaused && ((word & SocketFlag.EPOCH) !== 0) === this.socket.epoch) throw new Error(`message ${number} came back without a pause`)
        if (this.messages[number] !== 'close' && data.toString() !== this.messages[number]) throw new Error(`message ${number} came back as ${data.toString()}`)
      }
      if (call === 'release') {
        if (this.closes > 0) this.isOver = true
        else this.adoptBy(args[0] as number)
        return
      }
    }
  }
}

for (const concurrency of [1, 3]) {
  test(`every message is begun once and in order, and never more than ${concurrency} at a time`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 120 }), async (steps) => {
        const reactor = new Reactor(concurrency)
        reactor.adoptBy(0)
        for (const { do: what, pick } of steps) {
          if (what === 'message') {
            reactor.messages.push(`m${reactor.messages.length}`)
            reactor.give()
          } else if (what === 'run') {
            reactor.worker.native.wakeAnyway()
          } else if (what === 'read') {
            reactor.read()
            reactor.give()
          } else if (what === 'settle' && reactor.pending.length > 0) {
            reactor.pending.splice(pick % reactor.pending.length, 1)[0]!.open()
            await turn()
          } else if (what === 'pause') {
            if (reactor.isQuiet) reactor.held?.pause()
          } else if (what === 'resume') {
            reactor.held?.resume()
          } else if (what === 'handover' && !reactor.isLeaving) {
            reactor.isLeaving = true
            reactor.socket.handover()
          }
        }
        // To the end: everybody settles, nobody holds anything back.
        reactor.messages.push('close')
        for (let round = 0; !reactor.isOver; round++) {
          if (round > 2_000) throw new Error(`stuck after ${reactor.begun.join()}`)
          reactor.held?.resume()
          reactor.give()
          reactor.worker.native.wakeAnyway()
          for (const gate of reactor.pending.splice(0)) gate.open()
          await turn()
          reactor.read()
        }
        t.deepEqual(reactor.begun, reactor.messages.slice(0, -1))
        t.is(reactor.closes, 1)
        t.true(reactor.most <= concurrency, `${reactor.most} at a time`)
      }),
      { numRuns: 300 },
    )
  })
}
