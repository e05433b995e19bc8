import type { Lane } from '../bridge/lane.ts'
import { SocketFlag, SocketWord } from '../bridge/record.ts'
import type { SocketCommands } from '../bridge/socket-commands.ts'
import type { Phase, Report } from '../http/report.ts'
import { isThenable } from '../thenable.ts'
import { closeInfoOf, INTERNAL_ERROR } from '../websocket/close-info.ts'
import { DrainSignal } from '../websocket/drain-signal.ts'
import { textAt, viewAt } from '../websocket/payload.ts'
import type { AdoptedFrom, CommonHandlers } from './handlers.ts'

/** A connection as the records name it. */
export interface ConnectionName {
  readonly id: number
  readonly lane: number
  readonly slot: number
  /** That of the connection, not of the exchange it came from. */
  readonly generation: number
  /** Its name in the calls of this worker. */
  readonly handle: number
  /** The number of the first message, signed. */
  readonly next: number
  /** Of a connection that goes on where an earlier one broke. */
  readonly resumed: { readonly missed: number } | undefined
}

/** What the records of a connection are given to. */
export interface RecordTarget {
  readonly lane: number
  readonly slot: number
  readonly generation: number
  message(lane: Lane, at: number): void
  close(lane: Lane, at: number): void
  drain(): void
  high(): void
  handover(): void
  /** The core wants to know when no handler runs. */
  settle(): void
  /** The worker ends soon: what it would wait for without end is given up. */
  abort(): void
}

/** What all connections of one worker share. */
export interface SharedHost {
  readonly commands: SocketCommands
  readonly report: Report
  /** A handler is pending; the worker waits for it. */
  begin(): void
  end(): void
  /** The handler of a message is pending: if the worker dies, the message is lost. */
  holdMessage(): void
  /** It has settled. */
  readonly settleMessage: () => void
  /** No record is for `target` any more. */
  forget(target: RecordTarget): void
}

/** What all connections of one port share in one worker. `C` is what the app has of one. */
export interface SocketHost<C> extends SharedHost {
  readonly handlers: CommonHandlers<C>
  /** Handlers of one connection that may be pending. */
  readonly concurrency: number
  /** What an error is reported as that no handler takes. */
  readonly phase: Phase
  /** `SendFlag.COMPRESS` when messages are compressed unless they say otherwise, else 0. */
  readonly compress: number
  /** Makes what the app has of a connection. */
  conn(socket: Socket<C>): C
  /** Hands the message in a record to the app, and gives what its handler gives. */
  message(socket: Socket<C>, lane: Lane, at: number): unknown
}

/** Events that came while `open` or `adopt` was pending, and are told after it. */
const Missed = { DRAIN: 1, HIGH: 2 } as const

/**
 * The worker's side of one connection: runs its handlers in order, and says to the core when it must wait.
 *
 * Nothing queues up here. A message that comes at the wrong time (its connection became busy when it was in the ring
 * already) goes back to the core, which hands it out again: to us, or to whoever has the connection by then. So a dead
 * worker takes no message along that it had not begun to handle.
 */
export class Socket<C = unknown> implements RecordTarget {
  readonly host: SocketHost<C>
  readonly id: number
  readonly lane: number
  readonly slot: number
  readonly generation: number
  /** -1 when the connection is no longer ours. */
  handle: number
  readonly drained: DrainSignal
  readonly resumed: { readonly missed: number } | undefined
  /** The number of the message that is to be handled next. */
  #next: number
  /** `SocketFlag.EPOCH` of the records that count. */
  #epoch: number
  /** Handlers that are pending; one that nothing may run beside counts as all there may be. */
  #running: number
  /** The app wants no messages for now. */
  #isHeld: boolean
  /** It will want none in the next turn either. */
  #wantsHold: boolean
  /** Whether it does is looked at when this turn is over. */
  #isReleasing: boolean
  /** The core was told to wait. */
  #isBusy: boolean
  /** `open` or `adopt` is pending. */
  #isEntering: boolean
  /** The end has come and waits for handlers that are pending. */
  #isEnding: boolean
  /** The app has closed it, or its end was told: no message is of interest any more. */
  #isClosing: boolean
  /** It is to be let go as soon as no handler is pending. */
  #isLeaving: boolean
  /** The core is to be told as soon as no handler is pending. */
  #isAsked: boolean
  #missed: number
  /** Until `adopt` has been called. */
  #from: AdoptedFrom | null
  #conn: C | null

  constructor(host: SocketHost<C>, { id, lane, slot, generation, handle, next, resumed }: ConnectionName, from: AdoptedFrom | null) {
    this.host = host
    this.id = id
    this.lane = lane
    this.slot = slot
    this.generation = generation
    this.handle = handle
    this.drained = new DrainSignal()
    this.resumed = resumed
    this.#next = next
    this.#epoch = 0
    this.#running = 0
    this.#isHeld = false
    this.#wantsHold = false
    this.#isReleasing = false
    this.#isBusy = false
    this.#isEntering = false
    this.#isEnding = false
    this.#isClosing = false
    this.#isLeaving = false
    this.#isAsked = false
    this.#missed = 0
    this.#from = from
    this.#conn = null
  }

  /** What the app has of it. */
  get conn(): C {
    return (this.#conn ??= this.host.conn(this))
  }

  /** Whether something sent now has a chance to arrive. */
  get isOpen(): boolean {
    return this.handle >= 0 && !this.#isClosing && this.host.commands.isOpen(this.handle)
  }

  /** Tells the app by `tell` that the connection is there. Messages wait until that has settled; then `done` is called. */
  open(tell: () => unknown, done?: () => void): void {
    let result: unknown
    try {
      result = tell()
    } catch (error) {
      this.#fail(error)
    }
    if (isThenable(result)) this.#enter(result, done)
    else done?.()
  }

  message(lane: Lane, at: number): void {
    const { words } = lane
    const word = words[at + SocketWord.KIND]!
    if (this.#isBusy || words[at + SocketWord.SEQUENCE] !== this.#next || (word & SocketFlag.EPOCH) !== this.#epoch || !this.#hasEntered()) {
      this.#giveBack(lane, at)
      return
    }
    this.#next = (this.#next + 1) | 0
    if (this.#isClosing) return
    let result: unknown
    try {
      result = this.host.message(this, lane, at)
    } catch (error) {
      this.#fail(error)
      return
    }
    if (!isThenable(result)) return
    this.host.holdMessage()
    this.#pend(result, 1, this.host.settleMessage)
  }

  close(lane: Lane, at: number): void {
    const { words } = lane
    const word = words[at + SocketWord.KIND]!
    const isDue = !this.#isBusy && words[at + SocketWord.SEQUENCE] === this.#next && (word & SocketFlag.EPOCH) === this.#epoch && this.#hasEntered()
    if (isDue && this.#running > 0) {
      // Other handlers may run beside each other; this one is the last.
      this.#isEnding = true
      this.#update()
    }
    if (!isDue || this.#running > 0) {
      this.#giveBack(lane, at)
      return
    }
    this.#next = (this.#next + 1) | 0
    this.#isClosing = true
    this.#isLeaving = true
    this.drained.release()
    let result: unknown
    try {
      result = this.host.handlers.close?.(this.conn, closeInfoOf(words[at + SocketWord.DETAIL]!, textAt(lane, at)))
    } catch (error) {
      this.#fail(error)
    }
    if (isThenable(result)) this.#pend(result, 1)
    else this.#leave()
  }

  drain(): void {
    this.drained.release()
    this.#tell('drain', Missed.DRAIN)
  }

  high(): void {
    this.#tell('highWater', Missed.HIGH)
  }

  handover(): void {
    if (this.#running === 0) this.#leave()
    else this.#isLeaving = true
  }

  settle(): void {
    if (this.#running === 0) this.host.commands.settled(this.handle, this.#next >>> 0)
    else this.#isAsked = true
  }

  /** Whoever waits for a slow peer waits in vain. */
  abort(): void {
    this.drained.release()
  }

  /** Notes what a `send()` gave: after less than all, the core tells when it may go on. */
  sent(result: number): void {
    if (result < 0 || this.isOpen) this.drained.slow()
  }

  /** Begins to close it, a WebSocket by the closing handshake. What the app has held back is of no use any more. */
  end(code: number, reason: string): void {
    if (this.handle < 0 || this.#isClosing) return
    this.#isClosing = true
    this.host.commands.close(this.handle, code, reason)
    this.hold(false)
  }

  /** Drops the connection and what waits to be sent. */
  cut(): void {
    if (this.handle < 0) return
    this.#isClosing = true
    this.host.commands.terminate(this.handle)
    this.hold(false)
  }

  /** Stops the messages, or lets them come again. */
  hold(isHeld: boolean): void {
    this.#wantsHold = isHeld
    if (isHeld) {
      this.#isHeld = true
      this.#update()
    } else if (this.#isHeld && !this.#isReleasing) {
      this.#isReleasing = true
      // Not at once: the epoch has two values, and what was in the ring before the first of two pauses in one turn would be
      // taken for what comes after the second.
      process.nextTick(this.#release)
    }
  }

  readonly #release = (): void => {
    this.#isReleasing = false
    if (this.#wantsHold) return
    this.#isHeld = false
    this.#update()
  }

  /** Calls `adopt`, if that is due. False when nothing may run before it has settled. */
  #hasEntered(): boolean {
    const from = this.#from
    if (from === null) return !this.#isEntering
    this.#from = null
    const { handlers } = this.host
    if (handlers.adopt === undefined) return true
    let result: unknown
    try {
      result = handlers.adopt(this.conn, from)
    } catch (error) {
      this.#fail(error)
    }
    if (isThenable(result)) this.#enter(result)
    return !this.#isBusy
  }

  /** Nothing runs beside `open` and `adopt`. */
  #enter(result: PromiseLike<unknown>, done?: () => void): void {
    this.#isEntering = true
    this.#pend(result, this.host.concurrency, () => {
      this.#isEntering = false
      done?.()
      const missed = this.#missed
      this.#missed = 0
      if ((missed & Missed.DRAIN) !== 0) this.#tell('drain', Missed.DRAIN)
      if ((missed & Missed.HIGH) !== 0) this.#tell('highWater', Missed.HIGH)
    })
  }

  /** Waits for a handler that counts as `weight` of them. */
  #pend(result: PromiseLike<unknown>, weight: number, done?: () => void): void {
    this.#running += weight
    this.host.begin()
    this.#update()
    const settle = (): void => {
      this.#running -= weight
      done?.()
      if (this.#running === 0 && this.#isLeaving) this.#leave()
      else this.#update()
      if (this.#running === 0 && this.#isAsked) {
        this.#isAsked = false
        if (this.handle >= 0) this.host.commands.settled(this.handle, this.#next >>> 0)
      }
      this.host.end()
    }
    void Promise.resolve(result).then(settle, (error: unknown) => {
      this.#fail(error)
      settle()
    })
  }

  /** Tells the core when the connection becomes busy, and when it no longer is. */
  #update(): void {
    const isBusy = this.#running >= this.host.concurrency || this.#isHeld || (this.#isEnding && this.#running > 0)
    if (isBusy === this.#isBusy) return
    this.#isBusy = isBusy
    // The end was told: nothing follows, now or later.
    if (this.handle < 0 || (this.#isClosing && this.#isLeaving)) return
    if (isBusy) {
      this.host.commands.pause(this.handle)
    } else {
      this.#epoch ^= SocketFlag.EPOCH
      this.host.commands.resume(this.handle, this.#next >>> 0)
    }
  }

  #giveBack(lane: Lane, at: number): void {
    const { words } = lane
    this.host.commands.return(this.handle, words[at + SocketWord.SEQUENCE]! >>> 0, words[at + SocketWord.KIND]!, words[at + SocketWord.DETAIL]! >>> 0, viewAt(lane, at))
  }

  /** The payload of a message that was too long for the ring; undefined when the core has it no longer, and the connection neither. */
  fetch(sequence: number): Uint8Array | undefined {
    const bytes = this.host.commands.takeMessage(this.lane, this.slot, sequence >>> 0)
    return bytes && new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  #tell(handler: 'drain' | 'highWater', missed: number): void {
    if (this.host.handlers[handler] === undefined) return
    if (!this.#isEntering) this.#hasEntered()
    if (this.#isEntering) {
      this.#missed |= missed
      return
    }
    try {
      this.host.handlers[handler](this.conn)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** A handler threw: the app is told, and the connection closed, since nobody knows what it is in the middle of. */
  #fail(error: unknown): void {
    const { handlers, phase, report } = this.host
    if (handlers.error === undefined) {
      report(error, phase)
    } else {
      try {
        handlers.error(this.conn, error)
      } catch (failure) {
        report(failure, phase)
      }
    }
    this.end(INTERNAL_ERROR, '')
  }

  /** Lets the connection go: it has ended, or another worker gets it. */
  #leave(): void {
    if (this.handle < 0) return
    const { handle } = this
    this.handle = -1
    this.#isClosing = true
    this.host.forget(this)
    this.host.commands.release(handle, this.#next >>> 0)
    this.drained.release()
  }
}
