/** What the app can do with one WebSocket, and what reaches the core of it. */
import { inspect } from 'node:util'
import { serialize } from 'node:v8'
import test from 'ava'
import { ChannelKind, Opcode, SendFlag } from '../../src-ts/bridge/record.ts'
import { encodeState } from '../../src-ts/websocket/state.ts'
import type { WebSocketConn } from '../../src-ts/websocket/connection.ts'
import type { WebSocketHandlers } from '../../src-ts/websocket/handlers.ts'
import { startFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { FakeSocket, opened, saw, turn } from './fake-socket.ts'

type Conn = WebSocketConn<unknown, unknown>

function connected(more: Partial<WebSocketHandlers> = {}): FakeWorker & { socket: FakeSocket; conn: Conn } {
  let conn!: Conn
  const worker = startFakeWorker({ websocket: { open: (ws) => void (conn = ws), message: () => undefined, ...more } })
  const socket = opened(worker.native)
  return { ...worker, socket, conn }
}

const WHOLE_TEXT = Opcode.TEXT | SendFlag.FIN
const WHOLE_BINARY = Opcode.BINARY | SendFlag.FIN

test('a string is sent as text, bytes as binary, whatever holds them', (t) => {
  const { conn, native } = connected()
  const bytes = Uint8Array.of(1, 2, 3, 4)
  t.is(conn.send('naïve'), 6)
  t.is(conn.send(bytes.subarray(1, 3)), 2)
  t.is(conn.send(bytes.buffer), 4)
  t.is(conn.send(Buffer.from('ab')), 2)
  t.is(conn.send(new DataView(bytes.buffer, 1, 2) as never), 2)
  t.is(conn.send(new Uint16Array(bytes.buffer) as never), 4)
  t.deepEqual(native.callsOf('send').map(({ args }) => args), [
    ['naïve', WHOLE_TEXT],
    [Buffer.from([2, 3]), WHOLE_BINARY],
    [Buffer.from([1, 2, 3, 4]), WHOLE_BINARY],
    [Buffer.from('ab'), WHOLE_BINARY],
    [Buffer.from([2, 3]), WHOLE_BINARY],
    [Buffer.from([1, 2, 3, 4]), WHOLE_BINARY],
  ])
})

for (const value of [undefined, null, 7, {}, [1], true]) {
  test(`sending ${inspect(value)} is refused as a mistake`, (t) => {
    const { conn, socket } = connected()
    t.throws(() => conn.send(value as never), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    saw(t, socket, [])
  })
}

test('options choose opcode and flags', (t) => {
  const { conn, native } = connected()
  conn.send('a', { binary: true })
  conn.send(Uint8Array.of(97), { binary: false })
  conn.send('a', { fin: false })
  conn.send('a', { continuation: true, fin: false })
  conn.send('a', { continuation: true })
  conn.send('a', { compress: true })
  conn.send('a', {})
  t.deepEqual(native.callsOf('send').map(({ args }) => args[1]), [WHOLE_BINARY, WHOLE_TEXT, Opcode.TEXT, Opcode.CONTINUATION, SendFlag.FIN, WHOLE_TEXT | SendFlag.COMPRESS, WHOLE_TEXT])
})

test('with compression on, messages are compressed unless they say otherwise, and control frames never', (t) => {
  const { conn, native } = connected({ options: { compression: true } })
  conn.send('a')
  conn.send('a', { compress: false })
  conn.publish('news', 'a')
  conn.publish('news', 'a', { compress: false })
  conn.ping('a')
  t.deepEqual(native.callsOf('send').map(({ args }) => args[1]), [WHOLE_TEXT | SendFlag.COMPRESS, WHOLE_TEXT, Opcode.PING | SendFlag.FIN])
  t.deepEqual(native.callsOf('publish').map(({ args }) => args[5]), [WHOLE_TEXT | SendFlag.COMPRESS, WHOLE_TEXT])
})

test('a ping has at most 125 bytes', (t) => {
  const { conn, native } = connected()
  conn.ping('x'.repeat(125))
  conn.pong(new Uint8Array(125))
  conn.ping()
  t.throws(() => conn.ping('é'.repeat(63)), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => conn.pong('x'.repeat(126)), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.deepEqual(native.callsOf('send').map(({ args }) => args[1]), [Opcode.PING | SendFlag.FIN, Opcode.PONG | SendFlag.FIN, Opcode.PING | SendFlag.FIN])
})

// ── back-pressure ──

test('drained() resolves at once while the peer reads fast', async (t) => {
  const { conn } = connected()
  conn.send('a')
  await conn.drained()
  t.pass()
})

for (const [given, name] of [[-1, 'a slow peer'], [0, 'a full buffer']] as const) {
  test(`after ${name} drained() waits for room`, async (t) => {
    const { conn, native, socket } = connected()
    native.sendResult = () => given
    t.is(conn.send('a'), given)
    let drained = 0
    const waiting = [conn.drained(), conn.drained()].map((one) => one.then(() => drained++))
    await turn()
    t.is(drained, 0)
    socket.drain()
    native.wake()
    await Promise.all(waiting)
    await conn.drained()
    t.is(drained, 2)
  })
}

test('a send that gave 0 because the connection has ended makes nobody wait', async (t) => {
  const { conn, socket } = connected()
  socket.core.isOpen = false
  t.is(conn.send('a'), 0)
  await conn.drained()
})

for (const [how, end] of [
  ['the connection ends', (socket: FakeSocket) => socket.close(1006)],
  ['the connection is handed over', (socket: FakeSocket) => socket.handover()],
] as const) {
  test(`who waits for room goes on when ${how}`, async (t) => {
    const { conn, native, socket } = connected()
    native.sendResult = () => -1
    conn.send('a')
    const waiting = conn.drained()
    end(socket)
    native.wake()
    await waiting
    t.false(conn.isOpen)
  })
}

test('who waits for room goes on when the worker is aborted', async (t) => {
  const { conn, native, runtime } = connected()
  native.sendResult = () => -1
  conn.send('a')
  const waiting = conn.drained()
  runtime.abort()
  await waiting
  t.pass()
})

test('drained() rejects with the reason of its signal, and with nothing else', async (t) => {
  const { conn, native, socket } = connected()
  native.sendResult = () => -1
  conn.send('a')
  const stop = new AbortController()
  const [given, kept] = [conn.drained(stop.signal), conn.drained()]
  const reason = new Error('enough')
  stop.abort(reason)
  t.is(await t.throwsAsync(given), reason)
  t.is(await t.throwsAsync(conn.drained(stop.signal)), reason)
  socket.drain()
  native.wake()
  await kept
})

test('room is told to the drain handler each time, a long queue to highWater', (t) => {
  const events: string[] = []
  const { native, socket } = connected({ drain: (ws) => void events.push(`drain ${ws.id}`), highWater: (ws) => void events.push(`high ${ws.id}`) })
  socket.high()
  socket.drain()
  socket.drain()
  native.wake()
  t.deepEqual(events, ['high 1000', 'drain 1000', 'drain 1000'])
})

test('bufferedAmount is what the core has', (t) => {
  const { conn, socket } = connected()
  socket.core.buffered = 77
  t.is(conn.bufferedAmount, 77)
})

// ── state ──

test('data is what the app puts there, and nothing of it reaches the core', (t) => {
  const { conn, socket } = connected()
  t.is(conn.data, undefined)
  conn.data = { a: 1 }
  t.deepEqual(conn.data, { a: 1 })
  saw(t, socket, [])
})

test('state goes to the core when it is assigned, and is read from there once', (t) => {
  const { conn, native, socket } = connected()
  t.is(conn.state, undefined)
  const state = { room: 'a', at: new Date(3), seen: new Map([[1, new Set(['x'])]]), bytes: Uint8Array.of(1) }
  conn.state = state
  t.is(conn.state, state)
  t.deepEqual(native.callsOf('connectionState', 'setConnectionState').map(({ call }) => call), ['connectionState', 'setConnectionState'])
  t.deepEqual(socket.core.state, Buffer.from(encodeState(state)!))
  conn.state = undefined
  t.is(socket.core.state, undefined)
  t.is(conn.state, undefined)
})

test('the state of a connection that is adopted is what its last worker assigned', (t) => {
  const state = { list: [1, 2n, 'x'], when: new Date(5) }
  const got: unknown[] = []
  const { native } = startFakeWorker({ websocket: { adopt: (ws) => void got.push(ws.state, ws.data), message: (ws) => void got.push(ws.state === got[0]) } })
  const socket = new FakeSocket(native)
  native.states.set(socket.id, Buffer.from(encodeState(state)!))
  socket.adopt()
  socket.message('a')
  native.wake()
  t.deepEqual(got, [state, undefined, true])
})

test('a state of 16 KiB is kept, one byte more is refused and leaves the old one', (t) => {
  const { conn } = connected()
  const most = 16 * 1024 - (serialize('x'.repeat(16_000)).length - 16_000)
  t.is(serialize('x'.repeat(most)).length, 16 * 1024)
  conn.state = 'x'.repeat(most)
  t.throws(() => (conn.state = 'x'.repeat(most + 1)), { instanceOf: RangeError, code: 'ERR_SLUICE_STATE_TOO_LARGE' })
  t.is((conn.state as string).length, most)
})

test('a state that cannot be cloned is refused, with the reason', (t) => {
  const { conn } = connected()
  const error = t.throws(() => (conn.state = { go: () => 1 }), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.regex((error.cause as Error).message, /could not be cloned/)
  t.is(conn.state, undefined)
})

// ── channels ──

test('groups, topics and uid are the core\'s', (t) => {
  const { conn, socket } = connected()
  t.true(conn.join('a', 'b'))
  t.true(conn.leave('b'))
  t.false(conn.leave('never'))
  t.true(conn.subscribe('news'))
  t.deepEqual(conn.topics, ['news'])
  t.true(conn.unsubscribe('news'))
  t.true(conn.bind(7))
  t.is(socket.core.uid, '7')
  t.true(conn.bind('seven'))
  t.true(conn.bind(null))
  t.is(socket.core.uid, null)
  t.deepEqual(socket.core.channels, [new Set(), new Set(['a'])])
  conn.protect()
  conn.protect(false)
  t.deepEqual(socket.native.callsOf('protectConnection').map(({ args }) => args), [[true], [false]])
})

for (const name of ['', undefined, null, 7, {}]) {
  test(`${inspect(name)} names no group and no topic`, (t) => {
    const { conn, socket } = connected()
    for (const call of [() => conn.join(name as never), () => conn.leave(name as never), () => conn.subscribe(name as never), () => conn.unsubscribe(name as never), () => conn.publish(name as never, 'x')]) {
      t.throws(call, { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    }
    saw(t, socket, [])
  })
}

for (const uid of ['', undefined, Number.NaN, Number.POSITIVE_INFINITY, {}, true]) {
  test(`${String(uid) || "''"} is no uid`, (t) => {
    const { conn } = connected()
    t.throws(() => conn.bind(uid as never), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  })
}

test('publishing spares the sender', (t) => {
  const { conn, native } = connected()
  native.receivers = 3
  t.is(conn.publish('news', 'text'), 3)
  t.is(conn.publish('news', Uint8Array.of(1)), 3)
  t.deepEqual(native.callsOf('publish').map(({ args }) => args), [
    [0, 3, ChannelKind.TOPIC, 'news', 'text', WHOLE_TEXT, 0, 1000],
    [0, 3, ChannelKind.TOPIC, 'news', Buffer.from([1]), WHOLE_BINARY, 0, 1000],
  ])
})

// ── what is known of it ──

test('the handshake is read once, when somebody asks', (t) => {
  const { conn, native } = connected()
  t.is(conn.protocol, 'chat.v1')
  t.is(conn.request.url, 'http://example.test/live?room=1')
  t.is(conn.request.headers.get('Cookie'), 'a=1')
  t.is(conn.request.headers, conn.request.headers)
  t.is(conn.resumeToken, undefined)
  t.is(native.callsOf('handshakeOf').length, 1)
})

test('a connection that goes on where one broke says what its client had missed', (t) => {
  let conn!: Conn
  const { native } = startFakeWorker({ websocket: { open: (ws) => void (conn = ws), message: () => undefined } })
  native.handshake = JSON.stringify({ protocol: '', url: '/', headers: [], compressed: false, resumeToken: 'secret' })
  native.request({ handshake: 1, target: '/' })
  native.wake()
  const socket = new FakeSocket(native)
  socket.open(0, { missed: 4 })
  native.wake()
  t.deepEqual(conn.resumed, { missed: 4 })
  t.is(conn.resumeToken, 'secret')
  t.deepEqual(native.callsOf('closeConnection'), [])
  socket.message('first')
  native.wake()
  t.deepEqual(native.callsOf('returnMessage'), [])
})

test('what the core tells of a connection is put into the words of the API', (t) => {
  const { conn, native } = connected()
  t.is(conn.info(), undefined)
  native.details = JSON.stringify({ id: 1000, kind: 'websocket', state: 'open', family: '6', uid: null, worker: -1, groups: ['g'], topics: [] })
  t.like(conn.info(), { id: 1000, family: 6, groups: ['g'] })
  t.is(conn.info()!.uid, undefined)
  t.is(conn.info()!.worker, undefined)
  native.details = JSON.stringify({ family: 'unix', uid: '7', worker: 0 })
  t.like(conn.info(), { family: 'unix', uid: '7', worker: 0 })
})

// ── closing ──

for (const code of [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999]) {
  test(`close code ${code} may be sent`, (t) => {
    const { conn, socket } = connected()
    conn.close(code, 'é'.repeat(61))
    saw(t, socket, [`closeConnection ${code} ${'é'.repeat(61)}`])
  })
}

for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1000.5, Number.NaN, '1000', null]) {
  test(`close code ${inspect(code)} may not be sent`, (t) => {
    const { conn, socket } = connected()
    t.throws(() => conn.close(code as never), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
    saw(t, socket, [])
    t.true(conn.isOpen)
  })
}

test('a reason has at most 123 bytes', (t) => {
  const { conn, socket } = connected()
  t.throws(() => conn.close(1000, 'x'.repeat(124)), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => conn.close(1000, 'é'.repeat(62)), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => conn.close(1000, 7 as never), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  conn.close(1000, 'x'.repeat(123))
  saw(t, socket, [`closeConnection 1000 ${'x'.repeat(123)}`])
})
