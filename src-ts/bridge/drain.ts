import { sluiceError } from '../errors.ts'
import type { WorkerMemory } from '../native.ts'
import type { Commands } from './commands.ts'
import { Lane } from './lane.ts'
import { Patience } from './patience.ts'
import { BlockWord, RECORD_BYTES_MIN, RecordKind, Word } from './record.ts'

/** Taken once: the global is a getter, which costs as much as a look at the clock. */
const clock = performance
/** Taken once: an application may put its own in their place, for its tests. */
const { nextTick } = process
const { setImmediate } = globalThis
/** `queueMicrotask` makes a resource of each call. */
const settled = Promise.resolve()

/** Records after which the head is published and the clock is looked at. */
const SLICE_RECORDS = 32
/** Records after which a drain lets timers and I/O of the worker run. */
const BUDGET_RECORDS = 256
/** Milliseconds after which it does. */
const BUDGET_MS = 1
/** Milliseconds to look for more records after those of tasks, before parking. A sleep and its wake-up take about as much of two threads. */
const LOOK_MS = 0.03

/** What a drain does with records. */
export interface RecordHandlers {
  /** A batch begins. `now` is `performance.now()`. */
  batch(now: number): void
  /** A request. `at` is the word index of its record; valid until the call returns. */
  request(lane: Lane, at: number): void
  /** A record that follows a request: body, abort, drain. Valid until the call returns. */
  follow(lane: Lane, at: number, kind: number): void
  /** A handler above threw, or a ring is broken. */
  failed(error: unknown): void
}

/** Runs the records of every lane of one worker. Made by {@link createDrain}. */
export interface Drain {
  /** Runs what waits, then parks; the wake-up calls it. Call it once after attaching, too: a worker starts unparked. */
  (): void
  /** No record is run any more. Idempotent. */
  stop(): void
}

/**
 * The loop between the event rings and the handlers.
 *
 * Dekker with the reactor: it publishes `tail`, then looks at `parked`; we store `parked`, then look at every `tail`
 * again before we go to sleep. Both with sequential consistency, so one of the two sees the other.
 */
export function createDrain(commands: Commands, memory: WorkerMemory, handlers: RecordHandlers): Drain {
  const block = new Int32Array(memory.block)
  const lanes = memory.events.map((ring, index) => new Lane(index, ring))
  const patience = new Patience()
  let first = 0
  /** Records run in this batch. */
  let ran = 0
  /** One of them was about a task: what follows from it may come back in a moment. */
  let hadTasks = false
  /** One of them was a call, and there was no flush since. */
  let hadCalls = false
  /** When timers and I/O of the worker must have had their turn. */
  let turnEnds = 0
  /** {@link look} comes. */
  let looksSoon = false
  let running = false
  let stopped = false

  /** Runs what one lane has. False when the budget is spent. */
  function runLane(lane: Lane, deadline: number): boolean {
    const { words } = lane
    let tail = lane.tail()
    while (lane.head !== tail) {
      const { head } = lane
      const at = lane.at(head)
      const length = words[at + Word.LENGTH]!
      // Cheap, and the only thing between a broken ring and an endless loop here.
      if (length < RECORD_BYTES_MIN || (length & 7) !== 0 || length > ((tail - head) | 0)) {
        lane.head = tail
        handlers.failed(sluiceError('ERR_SLUICE_INTERNAL', `Event ring ${lane.index} is broken at ${head >>> 0}: record of ${length} bytes`))
        break
      }
      const kind = words[at + Word.KIND]! & 0xff
      if (kind === RecordKind.PAD) {
        lane.head = (head + length) | 0
        continue
      }
      // If the worker dies in the handler, these two say which record killed it; that one is not replayed. They stand until
      // `head` is published: with neither, a record that has run would look as if it had not, and run again elsewhere.
      block[BlockWord.CURRENT_POSITION] = head
      block[BlockWord.CURRENT_LANE] = lane.index + 1
      try {
        if (kind === RecordKind.TASK) {
          hadCalls = true
        } else if (hadCalls) {
          // The ends of calls may wait for the next call, but not for how long anything else runs.
          hadCalls = false
          commands.flush()
        }
        if (kind === RecordKind.HTTP) {
          handlers.request(lane, at)
        } else {
          hadTasks ||= kind >= RecordKind.TASK
          handlers.follow(lane, at, kind)
        }
      } catch (error) {
        handlers.failed(error)
      }
      // Detached inside the handler: the memory is another worker's from now on.
      if (stopped) return false
      lane.head = (head + length) | 0
      ran++
      if (ran % SLICE_RECORDS === 0) {
        lane.publish()
        if (ran >= BUDGET_RECORDS || clock.now() >= deadline) {
          block[BlockWord.CURRENT_LANE] = 0
          return false
        }
      }
      if (lane.head === tail) tail = lane.tail()
    }
    lane.publish()
    block[BlockWord.CURRENT_LANE] = 0
    return true
  }

  function anyWaiting(): boolean {
    for (const lane of lanes) if (lane.tail() !== lane.head) return true
    return false
  }

  /** Runs until every lane is empty (true) or the budget is spent (false). */
  function runAll(deadline: number): boolean {
    // Each time another lane first, so that a busy one cannot use up the budget of the others for long.
    first = first + 1 < lanes.length ? first + 1 : 0
    let next = first
    let empty = 0
    // One empty round: what came in on a lane while another ran is answered with the same flush.
    while (empty < lanes.length) {
      const lane = lanes[next]!
      next = next + 1 < lanes.length ? next + 1 : 0
      if (lane.tail() === lane.head) {
        empty++
      } else {
        empty = 0
        if (!runLane(lane, deadline)) return false
      }
    }
    return true
  }

  /** True when we sleep from now on; false when something has come after all. */
  function park(): boolean {
    Atomics.store(block, BlockWord.PARKED, 1)
    if (!anyWaiting()) return true
    Atomics.exchange(block, BlockWord.PARKED, 0)
    return false
  }

  function run(): void {
    if (running || stopped) return
    running = true
    Atomics.add(block, BlockWord.HEARTBEAT, 1)
    for (;;) {
      const now = clock.now()
      ran = 0
      hadTasks = false
      hadCalls = false
      handlers.batch(now)
      commands.hold()
      const finished = runAll(now + BUDGET_MS)
      if (stopped) return
      commands.release()
      block[BlockWord.EVENTS]! += ran
      block[BlockWord.BATCHES]! += 1
      // Not parked in either case: nobody need wake us, and timers and I/O get their turn.
      if (!finished) {
        setImmediate(drain)
        break
      }
      if (looksSoon) break
      if (hadTasks && patience.wanted()) {
        looksSoon = true
        // A tick that microtasks ask for comes when all of them have run, so after what waits for the results of this batch.
        void settled.then(lookSoon)
        break
      }
      if (park()) break
    }
    Atomics.add(block, BlockWord.HEARTBEAT, 1)
    running = false
  }

  function lookSoon(): void {
    nextTick(look)
  }

  /** Looks for what comes back from other threads, for as long as a sleep would take. */
  function look(): void {
    looksSoon = false
    if (stopped) return
    // What was said by now is what others may answer to.
    commands.flush()
    const start = clock.now()
    do {
      if (anyWaiting()) {
        patience.paid()
        if (start < turnEnds) run()
        else setImmediate(drain)
        return
      }
    } while (clock.now() < start + LOOK_MS)
    patience.inVain()
    if (!park()) run()
  }

  function drain(): void {
    turnEnds = clock.now() + BUDGET_MS
    run()
  }

  return Object.assign(drain, {
    stop(): void {
      stopped = true
    },
  })
}
