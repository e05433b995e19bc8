import test from 'ava'
import { Commands } from '../../src-ts/bridge/commands.ts'
import { createDrain, type RecordHandlers } from '../../src-ts/bridge/drain.ts'
import { BlockWord, BODY_INCOMPLETE, RecordKind, Word } from '../../src-ts/bridge/record.ts'
import { FakeNative } from '../support/fake-native.ts'

/** A drain over fake rings that notes which exchange indexes it ran. */
function start(native: FakeNative, more: Partial<RecordHandlers> = {}) {
  const ran: number[] = []
  const failures: unknown[] = []
  let drain = (): void => undefined
  native.attachWorker(0, 0, () => drain())
  const commands = new Commands(native, native.memory.worker)
  const made = createDrain(commands, native.memory, {
    batch: () => undefined,
    request: (lane, at) => void ran.push(lane.words[at + Word.INDEX]!),
    follow: () => undefined,
    failed: (error) => void failures.push(error),
    ...more,
  })
  drain = made
  made()
  return { ran, failures, drain: made, commands }
}

test('the first drain parks', (t) => {
  const native = new FakeNative()
  t.is(native.block[BlockWord.PARKED], 0)
  start(native)
  t.is(native.block[BlockWord.PARKED], 1)
})

test('records run in the order of their ring', (t) => {
  const native = new FakeNative()
  const { ran } = start(native)
  for (const index of [3, 1, 2]) native.request({ index })
  t.true(native.wake())
  t.deepEqual(ran, [3, 1, 2])
  t.is(native.head(), native.tail())
})

test('records written at every offset of the ring are read whole, past its end and around', (t) => {
  const native = new FakeNative({ ringBytes: 1024 })
  const targets: string[] = []
  start(native, {
    request: (lane, at) => {
      const fields = lane.words[at + Word.KIND]! >>> 16
      const target = lane.words[at + Word.TARGET]!
      const from = at * 4 + 32 + fields * 8 + (target >>> 24)
      targets.push(lane.bytes.toString('latin1', from, from + (target & 0xffffff)))
    },
  })
  const expected: string[] = []
  for (let length = 1; length < 200; length++) {
    const target = `/${String(length).padStart(length, 'x')}`
    expected.push(target)
    native.request({ target })
    native.wake()
  }
  t.deepEqual(targets, expected)
})

test('positions may run past 2^31 and 2^32', (t) => {
  for (const position of [0x7fffff00, 0xffffff00]) {
    const native = new FakeNative({ ringBytes: 1024 })
    native.startAt(position)
    const { ran } = start(native)
    for (let index = 0; index < 20; index++) {
      native.request({ index })
      native.wake()
    }
    t.is(ran.length, 20)
    t.is(native.head(), native.tail())
  }
})

test('a PAD fills the end of the data area and is skipped without a handler call', (t) => {
  const native = new FakeNative({ ringBytes: 1024 })
  native.startAt(1024 - 8)
  const { ran } = start(native)
  native.request({ index: 5 })
  native.wake()
  t.deepEqual(ran, [5])
  t.is(native.block[BlockWord.EVENTS], 1)
})

test('a handler that throws is reported, and the records after it run', (t) => {
  const native = new FakeNative()
  const seen: number[] = []
  const { failures } = start(native, {
    request: (lane, at) => {
      seen.push(lane.words[at + Word.INDEX]!)
      if (seen.length === 1) throw new Error('boom')
    },
  })
  native.request({ index: 1 })
  native.request({ index: 2 })
  native.wake()
  t.deepEqual(seen, [1, 2])
  t.is(failures.length, 1)
  t.is(native.head(), native.tail())
  t.is(native.block[BlockWord.PARKED], 1)
})

test('the block names lane and position while a handler runs, and no lane after', (t) => {
  const native = new FakeNative({ lanes: 2 })
  const during: number[][] = []
  start(native, { request: () => void during.push([native.block[BlockWord.CURRENT_LANE]!, native.block[BlockWord.CURRENT_POSITION]!]) })
  native.request({ lane: 1 })
  const second = native.tail(1)
  native.request({ lane: 1 })
  native.wake()
  t.deepEqual(during, [[2, 0], [2, second]])
  t.is(native.block[BlockWord.CURRENT_LANE], 0)
})

test('the heartbeat moves twice per drain', (t) => {
  const native = new FakeNative()
  start(native)
  const before = native.block[BlockWord.HEARTBEAT]!
  native.request()
  native.wake()
  t.is(native.block[BlockWord.HEARTBEAT], before + 2)
})

test('the heartbeat has moved once when a handler hangs', (t) => {
  const native = new FakeNative()
  let inside = 0
  start(native, { request: () => (inside = native.block[BlockWord.HEARTBEAT]!) })
  const before = native.block[BlockWord.HEARTBEAT]!
  native.request()
  native.wake()
  t.is(inside, before + 1)
})

test('the head is published every 32 records, not before', (t) => {
  const native = new FakeNative({ ringBytes: 1 << 17 })
  const heads: number[] = []
  start(native, { request: () => void heads.push(native.head()) })
  for (let index = 0; index < 40; index++) native.request({ index })
  native.wake()
  t.true(heads.slice(0, 32).every((head) => head === 0))
  t.true(heads.slice(32).every((head) => head === heads[32] && head > 0))
})

test('after 256 records the drain lets the event loop run before it goes on, unparked', async (t) => {
  const native = new FakeNative({ ringBytes: 1 << 17 })
  const { ran } = start(native)
  for (let index = 0; index < 300; index++) native.request({ index })
  native.wake()
  const firstRun = ran.length
  // Usually 256; a machine that takes 1 ms for fewer stops at a multiple of 32 before.
  t.true(firstRun <= 256 && firstRun % 32 === 0, `ran ${firstRun}`)
  t.is(native.block[BlockWord.PARKED], 0)
  t.is(native.calls.at(-1), 'flush')
  while (ran.length < 300) await new Promise(setImmediate)
  t.deepEqual(ran, Array.from({ length: 300 }, (_, index) => index))
  t.is(native.block[BlockWord.PARKED], 1)
})

test('a batch that takes longer than 1 ms ends after the next 32 records', async (t) => {
  const native = new FakeNative({ ringBytes: 1 << 17 })
  const ran: number[] = []
  start(native, {
    request: (_lane, at) => {
      ran.push(at)
      const end = performance.now() + 0.2
      while (performance.now() < end);
    },
  })
  for (let index = 0; index < 64; index++) native.request({ index })
  native.wake()
  t.is(ran.length, 32)
  while (ran.length < 64) await new Promise(setImmediate)
  t.pass()
})

test('lanes take turns at being first', (t) => {
  const native = new FakeNative({ lanes: 3 })
  const order: number[] = []
  start(native, { request: (lane) => void order.push(lane.index) })
  for (let round = 0; round < 3; round++) {
    for (let lane = 0; lane < 3; lane++) native.request({ lane })
    native.wake()
  }
  t.deepEqual([order[0], order[3], order[6]].toSorted(), [0, 1, 2])
})

test('a busy lane does not keep the others waiting beyond its budget', async (t) => {
  const native = new FakeNative({ lanes: 2, ringBytes: 1 << 17 })
  const order: number[] = []
  start(native, {
    request: (lane) => {
      order.push(lane.index)
      if (lane.index === 0 && order.length < 1000) native.request({ lane: 0 })
    },
  })
  native.request({ lane: 0 })
  native.request({ lane: 1 })
  native.wake()
  while (order.length < 1000) await new Promise(setImmediate)
  t.true(order.indexOf(1) <= 512, `lane 1 came ${order.indexOf(1)}th`)
})

test('a record published after the last look and before parking is run, with no wake-up', (t) => {
  const native = new FakeNative()
  const { ran } = start(native)
  let late = 1
  // The flush is the last thing before `parked` is stored: what a reactor publishes here has nobody to wake.
  native.onFlush = () => {
    if (late === 0) return
    late = 0
    native.request({ index: 9 })
    t.false(native.wake())
  }
  native.request({ index: 1 })
  native.wake()
  t.deepEqual(ran, [1, 9])
  t.is(native.block[BlockWord.PARKED], 1)
})

test('answers are flushed before the worker parks', (t) => {
  const native = new FakeNative()
  start(native)
  const parked: number[] = []
  native.onFlush = () => void parked.push(native.block[BlockWord.PARKED]!)
  native.request()
  native.wake()
  t.deepEqual(parked, [0])
})

test('a spurious wake-up does no harm', (t) => {
  const native = new FakeNative()
  const { ran } = start(native)
  native.wakeAnyway()
  native.request({ index: 2 })
  native.wake()
  t.deepEqual(ran, [2])
  t.is(native.block[BlockWord.PARKED], 1)
})

const parked = async (native: FakeNative): Promise<void> => {
  while (native.block[BlockWord.PARKED] === 0) await new Promise(setImmediate)
}

test('after records of tasks it stays awake for what their microtasks lead to, and runs that without a wake-up', async (t) => {
  const native = new FakeNative()
  const kinds: number[] = []
  const { ran } = start(native, { follow: (_lane, _at, kind) => void kinds.push(kind) })
  native.task()
  native.wake()
  t.is(native.block[BlockWord.PARKED], 0)
  for (let hop = 0; hop < 20; hop++) await null
  native.request({ index: 7 })
  t.false(native.wake())
  t.deepEqual(ran, [])
  await parked(native)
  t.deepEqual([kinds, ran], [[RecordKind.TASK_PROGRESS], [7]])
})

test('records of no task let it park at once', (t) => {
  const native = new FakeNative()
  start(native)
  native.request()
  native.wake()
  t.is(native.block[BlockWord.PARKED], 1)
})

test('what was said in microtasks is flushed before it looks', async (t) => {
  const native = new FakeNative()
  const { commands } = start(native)
  native.task()
  native.wake()
  for (let hop = 0; hop < 20; hop++) await null
  commands.respond({ lane: { index: 0 }, index: 0, generation: 1 }, 200, '', '')
  let answered = false
  // Others answer to it; that would not come while it looks if it was flushed after that.
  native.onFlush = () => {
    if (!answered) native.request({ index: 4 })
    answered = true
  }
  native.calls.length = 0
  await parked(native)
  t.true(answered)
  t.is(native.head(), native.tail())
})

test('between calls and anything else there is a flush, not between calls', (t) => {
  const native = new FakeNative()
  const order: string[] = []
  const { commands } = start(native, {
    request: () => void order.push(`request after ${native.calls.length}`),
    follow: (_lane, _at, kind) => void order.push(`${kind === RecordKind.TASK ? 'call' : 'other'} after ${native.calls.length}, held ${commands.isHeld}`),
  })
  native.call()
  native.call()
  native.request()
  native.request()
  native.call()
  native.task()
  native.calls.length = 0
  native.wake()
  t.deepEqual(order, ['call after 0, held true', 'call after 0, held true', 'request after 1', 'request after 1', 'call after 1, held true', 'other after 2, held true'])
  t.deepEqual(native.calls, ['flush', 'flush', 'flush'])
  t.false(commands.isHeld)
})

test('it looks less and less often while nothing comes of it', async (t) => {
  const native = new FakeNative()
  start(native)
  const looks: boolean[] = []
  for (let round = 0; round < 16; round++) {
    native.task()
    native.wake()
    looks.push(native.block[BlockWord.PARKED] === 0)
    await parked(native)
  }
  t.deepEqual(looks.flatMap((looked, round) => (looked ? [round] : [])), [0, 2, 6, 14])
})

test('I/O gets its turn while something always comes', async (t) => {
  const native = new FakeNative()
  let records = 0
  let turns = 0
  start(native, {
    follow: () => {
      records++
      void Promise.resolve().then(() => turns < 2 && native.task())
    },
  })
  native.task()
  native.wake()
  const turn = (): void => void (++turns < 2 && setImmediate(turn))
  setImmediate(turn)
  await parked(native)
  t.is(turns, 2)
  t.true(records > 2)
})

for (const [what, length] of [['zero', 0], ['odd', 12], ['negative', -64], ['too long', 4096]] as const) {
  test(`a record of ${what} length is reported once and ends in no loop`, (t) => {
    const native = new FakeNative()
    const { ran, failures } = start(native)
    native.request({ index: 1 })
    native.poke(Word.LENGTH, length)
    native.wake()
    t.deepEqual(ran, [])
    t.is(failures.length, 1)
    t.like(failures[0], { code: 'ERR_SLUICE_INTERNAL' })
    t.is(native.block[BlockWord.PARKED], 1)
  })
}

test('after stop() it does not look', async (t) => {
  const native = new FakeNative()
  const { drain, ran } = start(native)
  native.task()
  native.wake()
  drain.stop()
  native.request()
  await new Promise(setImmediate)
  t.deepEqual(ran, [])
  t.is(native.block[BlockWord.PARKED], 0)
})

test('after stop() nothing runs, and the memory is left alone', (t) => {
  const native = new FakeNative()
  const { ran, drain } = start(native)
  native.request({ index: 1 })
  const before = Buffer.from(native.memory.block).toString('hex')
  drain.stop()
  native.wakeAnyway()
  t.deepEqual(ran, [])
  t.is(native.head(), 0)
  t.is(Buffer.from(native.memory.block).toString('hex'), before)
})

test('stop() inside a handler touches neither ring nor block from then on', (t) => {
  const native = new FakeNative()
  const made = start(native, { request: () => made.drain.stop() })
  native.request()
  native.wake()
  t.is(native.head(), 0)
  t.is(native.block[BlockWord.CURRENT_LANE], 1)
})

test('records that follow a request come with their kind', (t) => {
  const native = new FakeNative()
  const kinds: number[] = []
  start(native, { follow: (_lane, _at, kind) => void kinds.push(kind) })
  native.chunk('abc')
  native.bodyEnd(BODY_INCOMPLETE)
  native.abort(0)
  native.drained()
  native.wake()
  t.deepEqual(kinds, [RecordKind.BODY_CHUNK, RecordKind.BODY_END, RecordKind.ABORT, RecordKind.DRAIN])
})

test('commands inside a drain share its flush; outside, a burst shares one after the microtasks', async (t) => {
  const native = new FakeNative()
  const to = { lane: { index: 0 }, index: 0, generation: 1 }
  const { commands } = start(native, {
    request: () => {
      commands.respond(to, 200, '', '')
      commands.respond(to, 200, '', '')
    },
  })
  native.calls.length = 0
  native.request()
  native.wake()
  t.deepEqual(native.calls, ['respond', 'respond', 'flush'])
  native.calls.length = 0
  for (let answer = 0; answer < 3; answer++) void Promise.resolve().then(() => commands.respond(to, 200, '', ''))
  await new Promise(setImmediate)
  t.deepEqual(native.calls, ['respond', 'respond', 'respond', 'flush'])
})

test('after close() commands go nowhere', (t) => {
  const native = new FakeNative()
  const { commands } = start(native)
  commands.close()
  commands.close()
  native.calls.length = 0
  const to = { lane: { index: 0 }, index: 0, generation: 1 }
  t.false(commands.respond(to, 200, '', ''))
  t.false(commands.respondEnd(to))
  commands.credit(to, 1)
  t.is(commands.takeBlob(to), undefined)
  t.is(commands.connectionInfo(to), null)
  t.deepEqual(native.calls, [])
})
