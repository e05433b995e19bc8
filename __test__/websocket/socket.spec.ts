/** What one connection does with its records, in every order they can come in. */
import test from 'ava'
import { Opcode, SendFlag, SocketFlag, RecordKind } from '../../src-ts/bridge/record.ts'
import type { AdoptedFrom } from '../../src-ts/connection/handlers.ts'
import type { Frame, WebSocketHandlers } from '../../src-ts/websocket/handlers.ts'
import type { WebSocketConn } from '../../src-ts/websocket/connection.ts'
import { startFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { By, FakeSocket, Gate, opened, saw, turn } from './fake-socket.ts'

type Conn = WebSocketConn<unknown, unknown>

/** The first word of a record of a whole text, in the first epoch. */
const TEXT_WORD = RecordKind.WS_MESSAGE | SocketFlag.FIN

/** A worker with one connection that is open. */
function serving(handlers: WebSocketHandlers): FakeWorker & { socket: FakeSocket } {
  const worker = startFakeWorker({ websocket: handlers })
  return { ...worker, socket: opened(worker.native) }
}

/** Handlers that note what they get, the messages pending until the test lets them go. */
function gated(more: Partial<WebSocketHandlers> = {}): { handlers: WebSocketHandlers; events: string[]; gates: Gate[] } {
  const events: string[] = []
  const gates: Gate[] = []
  const handlers: WebSocketHandlers = {
    message: (_ws, data) => {
      events.push(`message ${String(data)}`)
      const gate = new Gate()
      gates.push(gate)
      return gate.promise
    },
    close: (_ws, { by, clean, code, reason }) => void events.push(`close ${code} ${by} ${clean} ${reason}`),
    ...more,
  }
  return { handlers, events, gates }
}

test('a text comes as a string, in its own words', (t) => {
  const got: unknown[] = []
  const { native, socket } = serving({ message: (_ws, data, frame) => void got.push(data, frame) })
  socket.message('naïve 🎈')
  socket.message('')
  native.wake()
  t.deepEqual(got, ['naïve 🎈', { opcode: 1, fin: true, compressed: false }, '', { opcode: 1, fin: true, compressed: false }])
})

for (const length of [0, 1, 64, 65, 4096, 4097, 16_384]) {
  test(`binary of ${length} bytes comes as bytes that outlive the record`, (t) => {
    const got: Uint8Array[] = []
    const { native, socket } = serving({ message: (_ws, data) => void got.push(data as Uint8Array) })
    const sent = Uint8Array.from({ length }, (_, index) => index % 251)
    socket.message(sent)
    socket.message(sent.map((byte) => byte ^ 0xff))
    native.wake()
    native.scribble()
    t.is(got[0]!.constructor, Uint8Array)
    t.deepEqual(got[0], sent)
    t.deepEqual(got[1], sent.map((byte) => byte ^ 0xff))
  })
}

test('a message that is longer than the ring takes is fetched', (t) => {
  const got: unknown[] = []
  const { native, socket } = serving({ message: (_ws, data) => void got.push(data) })
  socket.message('é'.repeat(40_000), { blob: true })
  socket.message(new Uint8Array(70_000).fill(7), { blob: true })
  native.wake()
  t.is(got[0], 'é'.repeat(40_000))
  t.is((got[1] as Uint8Array).constructor, Uint8Array)
  t.deepEqual(got[1], new Uint8Array(70_000).fill(7))
})

test('a message that the core no longer has is left out, and what follows is handled', (t) => {
  const got: unknown[] = []
  const { native, reports, socket } = serving({ message: (_ws, data) => void got.push(data) })
  socket.message('x'.repeat(20_000), { blob: true })
  native.messages.clear()
  socket.message('after')
  native.wake()
  t.deepEqual([got, reports], [['after'], []])
})

test('frames tell their opcode, their end and whether they were compressed', (t) => {
  const got: [unknown, Frame][] = []
  const { native, socket } = serving({ options: { deliver: 'frame' }, message: (_ws, data, frame) => void got.push([data, frame]) })
  socket.message('ab', { fin: false, compressed: true })
  socket.message(Uint8Array.of(0xc3), { opcode: Opcode.CONTINUATION, fin: false, compressed: true })
  socket.message(Uint8Array.of(0xa9), { opcode: Opcode.CONTINUATION })
  socket.message(Uint8Array.of(1), { fin: false })
  native.wake()
  t.deepEqual(got, [
    // The end of a text may lie inside a character: only a whole one is a string.
    [Uint8Array.of(97, 98), { opcode: 1, fin: false, compressed: true }],
    [Uint8Array.of(0xc3), { opcode: 0, fin: false, compressed: true }],
    [Uint8Array.of(0xa9), { opcode: 0, fin: true, compressed: false }],
    [Uint8Array.of(1), { opcode: 2, fin: false, compressed: false }],
  ])
})

test('pings and pongs go to their handlers, as bytes', (t) => {
  const got: unknown[] = []
  const { native, socket } = serving({ message: () => void got.push('message'), ping: (_ws, data) => void got.push('ping', data), pong: (_ws, data) => void got.push('pong', data) })
  socket.message(Uint8Array.of(1), { opcode: Opcode.PING })
  socket.message(Uint8Array.of(2), { opcode: Opcode.PONG })
  native.wake()
  t.deepEqual(got, ['ping', Uint8Array.of(1), 'pong', Uint8Array.of(2)])
})

test('handlers that answer at once are never waited for', async (t) => {
  const got: unknown[] = []
  const { native, runtime, socket } = serving({ message: (_ws, data) => void got.push(data) })
  for (const data of ['a', 'b', 'c']) socket.message(data)
  native.wake()
  t.deepEqual(got, ['a', 'b', 'c'])
  saw(t, socket, [])
  await turn()
  t.is(runtime.inflight(), 0)
})

test('while a handler is pending, what is in the ring goes back to the core and comes again', async (t) => {
  const { events, gates, handlers } = gated()
  const { native, socket } = serving(handlers)
  for (const data of ['a', 'b', 'c']) socket.message(data)
  native.wake()
  t.deepEqual(events, ['message a'])
  saw(t, socket, ['pauseConnection', `returnMessage 1 ${TEXT_WORD} 1`, `returnMessage 2 ${TEXT_WORD} 1`])
  gates[0]!.open()
  await turn()
  saw(t, socket, ['resumeConnection 1'])
  socket.resumed()
  socket.message('b')
  native.wake()
  t.deepEqual(events, ['message a', 'message b'])
  saw(t, socket, ['pauseConnection'])
})

test('what goes back is the message as it came', (t) => {
  const { handlers } = gated()
  const { native, socket } = serving(handlers)
  socket.message('a')
  socket.message(Uint8Array.of(9, 8, 7), { compressed: true })
  socket.message('é', { fin: false })
  socket.message('long', { blob: true })
  socket.close(4001, { reason: 'bye' })
  native.wake()
  const returned = native.callsOf('returnMessage').map(({ args }) => args)
  t.deepEqual(returned, [
    [1, RecordKind.WS_MESSAGE | SocketFlag.FIN | SocketFlag.COMPRESSED, 2, Buffer.from([9, 8, 7])],
    [2, RecordKind.WS_MESSAGE, 1, Buffer.from('é')],
    // It lies with the core still.
    [3, TEXT_WORD | SocketFlag.BLOB, 1, Buffer.alloc(0)],
    [4, RecordKind.WS_CLOSE, 4001 | (1 << 24), Buffer.from('bye')],
  ])
  t.true(native.messages.has('2/3'))
})

test('a record from before a pause is not taken for the one that comes after it', async (t) => {
  const { events, gates, handlers } = gated()
  const { native, socket } = serving(handlers)
  socket.message('a')
  native.wake()
  gates[0]!.open()
  await turn()
  native.takeCalls()
  // Sent before the reactor had read the pause, run after the resume: number 1 is due, but the reactor waits for it.
  socket.message('b', { epoch: false })
  native.wake()
  t.deepEqual(events, ['message a'])
  saw(t, socket, [`returnMessage 1 ${TEXT_WORD} 1`])
  socket.epoch = true
  socket.message('b', { sequence: 1 })
  native.wake()
  t.deepEqual(events, ['message a', 'message b'])
})

test('a record out of its turn goes back', (t) => {
  const got: unknown[] = []
  const { native, socket } = serving({ message: (_ws, data) => void got.push(data) })
  socket.message('third', { sequence: 2 })
  socket.message('first', { sequence: 0 })
  socket.message('again', { sequence: 0 })
  native.wake()
  t.deepEqual(got, ['first'])
  saw(t, socket, [`returnMessage 2 ${TEXT_WORD} 1`, `returnMessage 0 ${TEXT_WORD} 1`])
})

for (const [last, first] of [[0x7fffffff, 0x80000000], [0xffffffff, 0]] as const) {
  test(`after message ${last} comes ${first}`, async (t) => {
    const { events, gates, handlers } = gated()
    const { native } = startFakeWorker({ websocket: handlers })
    const socket = new FakeSocket(native)
    socket.adopt({ next: last })
    socket.message('last')
    native.wake()
    gates[0]!.open()
    await turn()
    socket.resumed()
    t.is(socket.next, first)
    socket.message('first')
    native.wake()
    t.deepEqual(events, ['message last', 'message first'])
  })
}

test('so many handlers as `concurrency` says are pending at once, and no more', async (t) => {
  const { events, gates, handlers } = gated({ concurrency: 3 })
  const { native, socket } = serving(handlers)
  for (const data of ['a', 'b', 'c', 'd']) socket.message(data)
  native.wake()
  t.deepEqual(events, ['message a', 'message b', 'message c'])
  saw(t, socket, ['pauseConnection', `returnMessage 3 ${TEXT_WORD} 1`])
  gates[1]!.open()
  await turn()
  saw(t, socket, ['resumeConnection 3'])
  socket.resumed()
  socket.message('d')
  native.wake()
  t.is(events.at(-1), 'message d')
  saw(t, socket, ['pauseConnection'])
  for (const gate of gates) gate.open()
  await turn()
  saw(t, socket, ['resumeConnection 4'])
})

test('the end waits for every handler that is pending', async (t) => {
  const { events, gates, handlers } = gated({ concurrency: 3 })
  const { native, socket } = serving(handlers)
  socket.message('a')
  socket.message('b')
  socket.close(1001, { reason: 'gone' })
  native.wake()
  t.deepEqual(events, ['message a', 'message b'])
  saw(t, socket, ['pauseConnection', `returnMessage 2 ${RecordKind.WS_CLOSE} ${1001 | (1 << 24)}`])
  gates[0]!.open()
  await turn()
  // Room for another, but nothing may come but the end, and that only alone.
  saw(t, socket, [])
  gates[1]!.open()
  await turn()
  saw(t, socket, ['resumeConnection 2'])
  socket.resumed()
  socket.close(1001, { reason: 'gone' })
  native.wake()
  t.deepEqual(events, ['message a', 'message b', 'close 1001 peer true gone'])
  saw(t, socket, ['release 3', 'detachConnection'])
})

for (const [by, name] of ['peer', 'server', 'idle', 'error', 'shutdown', 'overflow'].entries()) {
  test(`the end tells that it was ${name}`, (t) => {
    const { events, handlers } = gated()
    const { native, socket } = serving(handlers)
    socket.close(1006, { by, clean: false })
    native.wake()
    t.deepEqual(events, [`close 1006 ${name} false `])
    saw(t, socket, ['release 1', 'detachConnection'])
  })
}

test('a connection whose close handler is pending is let go after it', async (t) => {
  const gate = new Gate()
  const { native, runtime, socket } = serving({ message: () => undefined, close: () => gate.promise })
  socket.close()
  native.wake()
  saw(t, socket, [])
  let settled = false
  const done = runtime.settled().then(() => (settled = true))
  await turn()
  t.false(settled)
  gate.open()
  await done
  saw(t, socket, ['release 1', 'detachConnection'])
})

test('after its end every call on a connection does nothing, and says so', async (t) => {
  let conn!: Conn
  const { native, reports, socket } = serving({ open: (ws) => void (conn = ws), message: () => undefined })
  conn.state = { a: 1 }
  socket.close()
  native.wake()
  native.takeCalls()
  t.false(conn.isOpen)
  t.is(conn.send('x'), 0)
  t.is(conn.ping(), 0)
  t.is(conn.pong('x'), 0)
  t.is(conn.bufferedAmount, 0)
  t.false(conn.join('g'))
  t.false(conn.leave('g'))
  t.false(conn.subscribe('t'))
  t.false(conn.unsubscribe('t'))
  t.false(conn.bind(7))
  t.is(conn.publish('t', 'x'), 0)
  t.deepEqual(conn.topics, [])
  t.is(conn.info(), undefined)
  conn.close()
  // Nobody is told that a code could not be sent when nothing could be.
  conn.close(7)
  conn.terminate()
  conn.reset()
  conn.pause()
  conn.resume()
  conn.protect()
  conn.state = { a: 2 }
  t.deepEqual(conn.state, { a: 1 })
  t.is(conn.protocol, '')
  t.is(conn.resumeToken, undefined)
  t.is(conn.request.url, '')
  t.deepEqual([...conn.request.headers], [])
  await conn.drained()
  t.is(conn.id, socket.id)
  saw(t, socket, [])
  t.deepEqual(reports, [])
})

test('records for a connection that has ended are dropped', (t) => {
  const { events, handlers } = gated()
  const { native, socket } = serving(handlers)
  socket.close()
  native.wake()
  native.takeCalls()
  socket.message('late')
  socket.close()
  socket.drain()
  socket.high()
  socket.handover()
  native.wake()
  t.is(events.length, 1)
  saw(t, socket, [])
})

test('a slot that has gone to another connection does not mix them up', (t) => {
  const got: string[] = []
  const { native, socket } = serving({ message: (ws, data) => void got.push(`${ws.id} ${String(data)}`) })
  socket.close()
  native.wake()
  const second = opened(native, { id: 2 ** 33 + 1, generation: socket.generation + 1 }, { index: 1, generation: 2 })
  socket.message('stale')
  second.message('fresh')
  native.wake()
  t.deepEqual(got, [`${2 ** 33 + 1} fresh`])
})

// ── handing over and adopting ──

test('an idle connection is let go at once when another worker is to have it', (t) => {
  const { handlers } = gated()
  const { native, socket } = serving(handlers)
  socket.message('a', { opcode: Opcode.PONG })
  socket.handover()
  native.wake()
  saw(t, socket, ['release 1', 'detachConnection'])
})

test('a connection is let go when its handlers have settled, with the number it had come to', async (t) => {
  const { events, gates, handlers } = gated({ concurrency: 2 })
  const { native, runtime, socket } = serving(handlers)
  for (const data of ['a', 'b', 'c']) socket.message(data)
  socket.handover()
  native.wake()
  saw(t, socket, ['pauseConnection', `returnMessage 2 ${TEXT_WORD} 1`])
  gates[0]!.open()
  await turn()
  saw(t, socket, ['resumeConnection 2'])
  gates[1]!.open()
  await runtime.settled()
  saw(t, socket, ['release 2', 'detachConnection'])
  t.deepEqual(events, ['message a', 'message b'])
})

test('a handler that is pending can still send while its connection waits to be handed over', async (t) => {
  const gate = new Gate()
  const { native, runtime, socket } = serving({
    message: async (ws) => {
      await gate.promise
      t.is(ws.send('answer'), 6)
    },
  })
  socket.message('ask')
  socket.handover()
  native.wake()
  native.takeCalls()
  gate.open()
  await runtime.settled()
  saw(t, socket, [`send answer ${Opcode.TEXT | SendFlag.FIN}`, 'release 1', 'detachConnection'])
})

test('a connection that the app has paused is handed over', (t) => {
  const { native, socket } = serving({ open: (ws) => ws.pause(), message: () => undefined })
  saw(t, socket, [])
  socket.handover()
  native.wake()
  saw(t, socket, ['release 0', 'detachConnection'])
})

/** Handlers that note who adopts from whom, and when. */
function adopting(adopt: WebSocketHandlers['adopt'], more: Partial<WebSocketHandlers> = {}): FakeWorker & { socket: FakeSocket; events: string[]; from: AdoptedFrom[] } {
  const events: string[] = []
  const from: AdoptedFrom[] = []
  const worker = startFakeWorker({
    websocket: {
      open: () => void events.push('open'),
      adopt: (ws, given) => {
        events.push('adopt')
        from.push(given)
        return adopt?.(ws, given)
      },
      message: (_ws, data) => void events.push(`message ${String(data)}`),
      close: () => void events.push('close'),
      ...more,
    },
  })
  return { ...worker, socket: new FakeSocket(worker.native), events, from }
}

for (const [reason, name] of ['reload', 'crash', 'stuck', 'recycle', 'rebalance'].entries()) {
  test(`adopt is called with the worker and "${name}", once, before the first event`, (t) => {
    const { events, from, native, socket } = adopting(() => undefined)
    socket.adopt({ from: 3, next: 17, reason })
    native.wake()
    t.deepEqual(events, [])
    socket.message('a')
    socket.message('b')
    native.wake()
    t.deepEqual(events, ['adopt', 'message a', 'message b'])
    t.deepEqual(from, [{ worker: 3, reason: name }])
    saw(t, socket, [])
  })
}

test('messages wait for an adopt that is pending', async (t) => {
  const gate = new Gate()
  const { events, native, socket } = adopting(() => gate.promise, { concurrency: 4 })
  socket.adopt({ next: 5 })
  socket.message('a')
  socket.message('b')
  native.wake()
  t.deepEqual(events, ['adopt'])
  saw(t, socket, ['pauseConnection', `returnMessage 5 ${TEXT_WORD} 1`, `returnMessage 6 ${TEXT_WORD} 1`])
  gate.open()
  await turn()
  saw(t, socket, ['resumeConnection 5'])
  socket.resumed()
  socket.message('a')
  native.wake()
  t.deepEqual(events, ['adopt', 'message a'])
})

test('an adopt that throws closes the connection with 1011, and its end is told', async (t) => {
  const { events, native, reports, socket } = adopting(() => {
    throw new Error('cannot')
  })
  socket.adopt()
  socket.message('a')
  native.wake()
  t.deepEqual(events, ['adopt'])
  saw(t, socket, ['closeConnection 1011 '])
  t.is(reports.length, 1)
  socket.close(1011, { by: By.SERVER })
  native.wake()
  t.deepEqual(events, ['adopt', 'close'])
  saw(t, socket, ['release 2', 'detachConnection'])
})

test('an adopt that rejects closes the connection with 1011', async (t) => {
  const { events, native, reports, socket } = adopting(async () => {
    throw new Error('cannot')
  })
  socket.adopt()
  socket.message('a')
  native.wake()
  await turn()
  saw(t, socket, ['pauseConnection', `returnMessage 0 ${TEXT_WORD} 1`, 'closeConnection 1011 ', 'resumeConnection 0'])
  t.deepEqual([reports.map(({ phase }) => phase), events], [['websocket'], ['adopt']])
})

test('a connection that has ended before its first event here is adopted, then closed', (t) => {
  const { events, native, socket } = adopting(() => undefined)
  socket.adopt({ next: 3 })
  socket.close()
  native.wake()
  t.deepEqual(events, ['adopt', 'close'])
  saw(t, socket, ['release 4', 'detachConnection'])
})

test('a connection that is handed on before its first event here is never adopted here', (t) => {
  const { events, native, socket } = adopting(() => undefined)
  socket.adopt({ next: 3 })
  socket.handover()
  native.wake()
  t.deepEqual(events, [])
  saw(t, socket, ['release 3', 'detachConnection'])
})

test('a pause that adopt makes holds the first message back', async (t) => {
  const { events, native, socket } = adopting((ws) => {
    ws.pause()
    queueMicrotask(() => ws.resume())
  })
  socket.adopt()
  socket.message('a')
  native.wake()
  t.deepEqual(events, ['adopt'])
  saw(t, socket, ['pauseConnection', `returnMessage 0 ${TEXT_WORD} 1`])
  await turn()
  saw(t, socket, ['resumeConnection 0'])
  socket.resumed()
  socket.message('a')
  native.wake()
  t.deepEqual(events, ['adopt', 'message a'])
})

test('room to send is told after the adoption, not before', async (t) => {
  const gate = new Gate()
  const events: string[] = []
  const { native, socket } = adopting(() => gate.promise, { drain: () => void events.push('drain'), highWater: () => void events.push('high') })
  socket.adopt()
  socket.drain()
  socket.high()
  native.wake()
  t.deepEqual(events, [])
  gate.open()
  await turn()
  t.deepEqual(events, ['drain', 'high'])
})

test('a connection without new handlers is closed with 1012 and let go', (t) => {
  const { native } = startFakeWorker(() => new Response() as never)
  const socket = new FakeSocket(native)
  socket.adopt({ next: 8 })
  socket.message('a')
  native.wake()
  saw(t, socket, ['closeConnection 1012 ', 'release 8', 'detachConnection'])
})

test('a connection that is gone before it is adopted is heard of by nobody', (t) => {
  const { events, native, reports, socket } = adopting(() => undefined)
  native.missing.add(socket.id)
  socket.adopt()
  socket.message('a')
  native.wake()
  t.deepEqual([events, reports, native.takeCalls()], [[], [], []])
})

// ── settling ──

test('the core hears at once that no handler runs, or when the last one has settled, once', async (t) => {
  const { gates, handlers } = gated({ concurrency: 2 })
  const { native, socket } = serving(handlers)
  socket.settle()
  native.wake()
  saw(t, socket, ['settled 0'])
  socket.message('a')
  socket.message('b')
  socket.settle()
  native.wake()
  saw(t, socket, ['pauseConnection'])
  gates[0]!.open()
  await turn()
  saw(t, socket, ['resumeConnection 2'])
  gates[1]!.open()
  await turn()
  saw(t, socket, ['settled 2'])
  socket.resumed()
  socket.message('c')
  native.wake()
  gates[2]!.open()
  await turn()
  saw(t, socket, [])
})

// ── open ──

test('messages wait for an open that is pending, whatever `concurrency` is', async (t) => {
  const gate = new Gate()
  const events: string[] = []
  const { native, runtime, socket } = serving({ concurrency: 5, open: () => gate.promise, message: (_ws, data) => void events.push(String(data)) })
  saw(t, socket, [])
  socket.message('a')
  native.wake()
  t.deepEqual(events, [])
  saw(t, socket, [`returnMessage 0 ${TEXT_WORD} 1`])
  t.is(runtime.inflight(), 1)
  gate.open()
  await turn()
  saw(t, socket, ['resumeConnection 0'])
  t.is(runtime.inflight(), 0)
  socket.resumed()
  socket.message('a')
  native.wake()
  t.deepEqual(events, ['a'])
})

test('an end that comes while open is pending is told after it', async (t) => {
  const gate = new Gate()
  const { events, handlers } = gated({ open: () => gate.promise })
  const { native, socket } = serving(handlers)
  socket.close()
  native.wake()
  t.deepEqual(events, [])
  gate.open()
  await turn()
  t.deepEqual(native.takeCalls().slice(-1), ['resumeConnection 0'])
  socket.resumed()
  socket.close()
  native.wake()
  t.is(events.length, 1)
})

test('a connection whose open is pending is handed over after it', async (t) => {
  const gate = new Gate()
  const { handlers } = gated({ open: () => gate.promise })
  const { native, runtime, socket } = serving(handlers)
  socket.handover()
  native.wake()
  saw(t, socket, [])
  gate.open()
  await runtime.settled()
  saw(t, socket, ['release 0', 'detachConnection'])
})

for (const [how, open] of [
  ['throws', () => { throw new Error('no') }],
  ['rejects', async () => { throw new Error('no') }],
] as const) {
  test(`an open that ${how} closes the connection with 1011, and its close is called`, async (t) => {
    const { events, handlers } = gated({ open })
    const { native, reports, runtime, socket } = serving(handlers)
    await turn()
    t.deepEqual(reports.map(({ phase }) => phase), ['websocket'])
    t.is(runtime.inflight(), 0)
    t.false(socket.core.isOpen)
    if (native.resumedAt.has(socket.handle)) socket.resumed()
    socket.close(1011, { by: By.SERVER })
    native.wake()
    t.deepEqual(events, ['close 1011 server true '])
  })
}

// ── errors ──

const failing: Record<string, { handlers: Partial<WebSocketHandlers>; cause: (socket: FakeSocket) => void }> = {
  message: { handlers: { message: thrower }, cause: (socket) => void socket.message('a') },
  'a message that is pending': { handlers: { message: rejecter }, cause: (socket) => void socket.message('a') },
  ping: { handlers: { ping: thrower }, cause: (socket) => void socket.message('', { opcode: Opcode.PING }) },
  'a ping that is pending': { handlers: { ping: rejecter }, cause: (socket) => void socket.message('', { opcode: Opcode.PING }) },
  pong: { handlers: { pong: thrower }, cause: (socket) => void socket.message('', { opcode: Opcode.PONG }) },
  drain: { handlers: { drain: thrower }, cause: (socket) => socket.drain() },
  highWater: { handlers: { highWater: thrower }, cause: (socket) => socket.high() },
}

function thrower(): never {
  throw new Error('mine')
}

async function rejecter(): Promise<never> {
  throw new Error('mine')
}

for (const [what, { cause, handlers }] of Object.entries(failing)) {
  test(`an error of ${what} goes to the report, closes with 1011, and no further message is handled`, async (t) => {
    const events: string[] = []
    const { native, reports, socket } = serving({ message: (_ws, data) => void events.push(String(data)), close: () => void events.push('close'), ...handlers })
    cause(socket)
    native.wake()
    await turn()
    t.deepEqual(reports.map(({ error, phase }) => `${phase} ${(error as Error).message}`), ['websocket mine'])
    t.deepEqual(native.callsOf('closeConnection').map(({ args }) => args), [[1011, '']])
    if (native.resumedAt.has(socket.handle)) socket.resumed()
    socket.message('late')
    socket.close(1011, { by: By.SERVER })
    native.wake()
    t.deepEqual(events, ['close'])
    t.is(native.callsOf('release').length, 1)
  })

  test(`an error of ${what} goes to the error handler alone, if there is one`, async (t) => {
    const errors: unknown[] = []
    const { native, reports, socket } = serving({ message: () => undefined, ...handlers, error: (ws, error) => void errors.push(ws.id, (error as Error).message, ws.isOpen) })
    cause(socket)
    native.wake()
    await turn()
    t.deepEqual([errors, reports], [[socket.id, 'mine', true], []])
    t.deepEqual(native.callsOf('closeConnection').map(({ args }) => args), [[1011, '']])
  })
}

test('an error handler may close the connection in its own words', (t) => {
  const { native, socket } = serving({ message: thrower, error: (ws) => ws.close(4000, 'sorry') })
  socket.message('a')
  native.wake()
  saw(t, socket, ['closeConnection 4000 sorry'])
})

test('an error of the error handler goes to the report', (t) => {
  const { native, reports, socket } = serving({
    message: thrower,
    error: () => {
      throw new Error('second')
    },
  })
  socket.message('a')
  native.wake()
  t.deepEqual(reports.map(({ error }) => (error as Error).message), ['second'])
  saw(t, socket, ['closeConnection 1011 '])
})

for (const [how, close] of [['throws', thrower], ['rejects', rejecter]] as const) {
  test(`a connection whose close ${how} is let go all the same`, async (t) => {
    const { native, reports, socket } = serving({ message: () => undefined, close })
    socket.close()
    native.wake()
    await turn()
    t.is(reports.length, 1)
    saw(t, socket, ['release 1', 'detachConnection'])
  })
}

test('one connection that fails does not touch another', (t) => {
  const got: string[] = []
  const worker = startFakeWorker({
    websocket: {
      message: (ws, data) => {
        if (data === 'bad') throw new Error('bad')
        got.push(`${ws.id} ${String(data)}`)
      },
    },
  })
  const one = opened(worker.native)
  const other = opened(worker.native, { id: 1001, slot: 3 }, { index: 1 })
  one.message('bad')
  other.message('good')
  worker.native.wake()
  t.deepEqual(got, ['1001 good'])
})

// ── the app closes ──

test('messages that come after the app has closed are dropped, also those that waited', async (t) => {
  const events: string[] = []
  const gate = new Gate()
  const { native, socket } = serving({
    message: async (ws, data) => {
      events.push(String(data))
      ws.close(4001, 'done')
      await gate.promise
    },
    close: (_ws, { code }) => void events.push(`close ${code}`),
  })
  socket.message('a')
  socket.message('b')
  native.wake()
  saw(t, socket, ['closeConnection 4001 done', 'pauseConnection', `returnMessage 1 ${TEXT_WORD} 1`])
  gate.open()
  await turn()
  socket.resumed()
  socket.message('b')
  socket.message('c', { opcode: Opcode.PING })
  socket.close(4001, { by: By.SERVER })
  native.wake()
  t.deepEqual(events, ['a', 'close 4001'])
  t.deepEqual(native.takeCalls(), ['resumeConnection 1', 'release 4', 'detachConnection'])
})

test('closing twice says it once', (t) => {
  const { native, socket } = serving({
    message: (ws) => {
      ws.close(4001)
      ws.close(4002)
      t.false(ws.isOpen)
      t.is(ws.send('x'), 0)
    },
  })
  socket.message('a')
  native.wake()
  t.deepEqual(native.callsOf('closeConnection').map(({ args }) => args), [[4001, '']])
})

test('a connection that was held back and then closed is not held back any more', async (t) => {
  let conn!: Conn
  const { native, socket } = serving({ open: (ws) => void (conn = ws), message: () => undefined })
  conn.pause()
  saw(t, socket, ['pauseConnection'])
  conn.close()
  saw(t, socket, ['closeConnection 1000 '])
  await turn()
  saw(t, socket, ['resumeConnection 0'])
  native.wake()
})

test('terminate drops the connection, also one that is closing', (t) => {
  let conn!: Conn
  const { socket } = serving({ open: (ws) => void (conn = ws), message: () => undefined })
  conn.close()
  conn.terminate()
  saw(t, socket, ['closeConnection 1000 ', 'terminateConnection'])
})

// ── pause and resume ──

test('pausing and resuming is said once each, and not while a handler holds the connection anyway', async (t) => {
  const { gates, handlers } = gated()
  let conn!: Conn
  const { native, socket } = serving({ ...handlers, open: (ws) => void (conn = ws) })
  conn.pause()
  conn.pause()
  saw(t, socket, ['pauseConnection'])
  conn.resume()
  conn.resume()
  // When the turn is over: it may be paused again in it.
  saw(t, socket, [])
  conn.pause()
  conn.resume()
  await turn()
  saw(t, socket, ['resumeConnection 0'])
  socket.epoch = true
  socket.message('a')
  native.wake()
  saw(t, socket, ['pauseConnection'])
  conn.pause()
  gates[0]!.open()
  await turn()
  saw(t, socket, [])
  conn.resume()
  await turn()
  saw(t, socket, ['resumeConnection 1'])
})

test('the end waits for resume', async (t) => {
  const { events, handlers } = gated()
  let conn!: Conn
  const { native, socket } = serving({ ...handlers, open: (ws) => void (conn = ws) })
  conn.pause()
  socket.close()
  native.wake()
  t.deepEqual(events, [])
  native.takeCalls()
  conn.resume()
  await turn()
  saw(t, socket, ['resumeConnection 0'])
  socket.resumed()
  socket.close()
  native.wake()
  t.is(events.length, 1)
})

// ── leaving ──

test('a worker waits for handlers that are pending, and a core that has left is spared', async (t) => {
  const { gates, handlers } = gated()
  const { native, reports, runtime, socket } = serving(handlers)
  socket.message('a')
  native.wake()
  let settled = false
  const done = runtime.settled().then(() => (settled = true))
  await turn()
  t.false(settled)
  runtime.detach()
  native.takeCalls()
  gates[0]!.open()
  await done
  saw(t, socket, [])
  t.deepEqual(reports, [])
})
