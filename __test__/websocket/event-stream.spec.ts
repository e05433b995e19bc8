/** What an event stream sends, and how long it is there. */
import { inspect } from 'node:util'
import test from 'ava'
import { AbortReason, Opcode, SendFlag } from '../../src-ts/bridge/record.ts'
import { SluiceResponse } from '../../src-ts/http/response.ts'
import type { SseOptions, SseStream } from '../../src-ts/websocket/event-stream.ts'
import { encodeEvent } from '../../src-ts/websocket/sse-event.ts'
import { startFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import type { FakeRequest } from '../support/fake-native.ts'
import { FakeSocket, saw, turn } from './fake-socket.ts'

const Answer = SluiceResponse as unknown as typeof Response
const EVENT = Opcode.TEXT | SendFlag.FIN

interface Streaming extends FakeWorker {
  readonly stream: SseStream
  readonly socket: FakeSocket
}

/** A request that was answered with an event stream which is not open yet. */
function answered(options?: SseOptions, request: FakeRequest = {}, use: (stream: SseStream) => void = () => undefined): Streaming {
  let stream!: SseStream
  const worker = startFakeWorker((_req, ctx) => {
    stream = ctx.sse(options)
    use(stream)
    return stream.response
  })
  worker.native.request(request)
  worker.native.wake()
  return { ...worker, stream, socket: new FakeSocket(worker.native) }
}

/** One that is open; the calls for it are not noted any more. */
async function streaming(options?: SseOptions, request: FakeRequest = {}): Promise<Streaming> {
  const made = answered(options, request)
  made.socket.open()
  made.native.wake()
  // The request is over with it.
  await made.runtime.settled()
  made.native.takeCalls()
  return made
}

/** Whether `closed` has resolved by now. */
async function isClosed({ stream }: Streaming): Promise<boolean> {
  let closed = false
  void stream.closed.then(() => (closed = true))
  await turn()
  return closed
}

// ── events ──

for (const [event, text] of [
  [{ data: 'a' }, 'data: a\n\n'],
  [{ data: '' }, 'data: \n\n'],
  [{ data: 'a\nb\r\nc\rd' }, 'data: a\ndata: b\ndata: c\ndata: d\n\n'],
  [{ data: 'a\n' }, 'data: a\ndata: \n\n'],
  [{ data: '\n' }, 'data: \ndata: \n\n'],
  [{ data: 'a', event: 'score', id: '7' }, 'id: 7\nevent: score\ndata: a\n\n'],
  [{ data: 'a', id: '' }, 'id: \ndata: a\n\n'],
  [{ data: new TextEncoder().encode('é\nb') }, 'data: é\ndata: b\n\n'],
  [{ data: ': not a comment' }, 'data: : not a comment\n\n'],
] as const) {
  test(`${inspect(event)} is sent as ${JSON.stringify(text)}`, (t) => {
    t.is(encodeEvent(event), text)
  })
}

for (const event of [{ data: 'a', id: '1\n' }, { data: 'a', id: '1\r' }, { data: 'a', id: '\0' }, { data: 'a', event: 'a\nb' }, { data: 7 }, { data: undefined }, { data: 'a', event: 7 }, { data: 'a', id: 7 }]) {
  test(`${inspect(event)} is refused as a mistake`, async (t) => {
    const { native, stream } = await streaming()
    t.throws(() => stream.send(event as never), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    t.deepEqual(native.callsOf('send'), [])
  })
}

// ── the answer ──

test('topics, retry, replay and names go to the core', (t) => {
  const { native } = answered({ topics: ['a', 'b'], retry: 0, named: true, headers: { 'set-cookie': 'a=1' } }, { headers: [['host', 'h'], ['last-event-id', '17']] })
  const [opening] = native.openings
  t.is(opening!.headers, 'set-cookie: a=1\r\n')
  t.deepEqual(JSON.parse(opening!.options), { topics: ['a', 'b'], retry: 0, replay: true, named: true, lastEventId: '17' })
})

test('without options there is nothing to replay but what the client asks for', (t) => {
  t.deepEqual(JSON.parse(answered().native.openings[0]!.options), { topics: [], replay: true, named: false })
  t.deepEqual(JSON.parse(answered({ lastEventId: false }, { headers: [['last-event-id', '17']] }).native.openings[0]!.options), { topics: [], replay: false, named: false })
})

for (const options of [{ topics: [''] }, { topics: [7] }, { retry: -1 }, { retry: 1.5 }, { retry: 2 ** 32 }, { retry: '1' }]) {
  test(`the options ${inspect(options)} are refused as a mistake`, (t) => {
    const { native, reports } = startFakeWorker((_req, ctx) => ctx.sse(options as never).response)
    native.request()
    native.wake()
    t.is(native.of(0)[0]!.status, 500)
    t.like(reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
  })
}

for (const name of ['Cache-Control', 'Content-Type', 'date', 'Server', 'X-Accel-Buffering']) {
  test(`the field ${name} of an event stream is not the app's`, (t) => {
    const { native, reports } = startFakeWorker((_req, ctx) => ctx.sse({ headers: { [name]: 'text/plain' } }).response)
    native.request()
    native.wake()
    t.is(native.of(0)[0]!.status, 500)
    t.like(reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
    t.is(native.openings.length, 0)
  })
}

test('fields of the framing are dropped, as from any answer', (t) => {
  const { native } = answered({ headers: { connection: 'close', 'content-length': '5', 'transfer-encoding': 'chunked', 'x-a': '1' } })
  t.is(native.openings[0]!.headers, 'x-a: 1\r\n')
})

test('HEAD is answered with the header alone, and the stream is over', async (t) => {
  const made = answered({}, { method: 'HEAD' })
  t.like(made.native.of(0)[0], { call: 'respond', status: 200, body: null })
  t.regex(made.native.of(0)[0]!.headers!, /content-type: text\/event-stream\r\n/)
  t.true(await isClosed(made))
  t.is(made.stream.send({ data: 'a' }), 0)
  await made.runtime.settled()
})

test('the answer is good for its own request only, and once', async (t) => {
  let kept: Response | undefined
  const worker = startFakeWorker((_req, ctx) => (kept ??= ctx.sse().response))
  worker.native.request({ index: 1 })
  worker.native.request({ index: 2 })
  worker.native.wake()
  await turn()
  t.is(worker.native.openings.length, 1)
  t.is(worker.native.of(2)[0]!.status, 500)
  t.like(worker.reports[0]!.error, { code: 'ERR_SLUICE_RESPONSE_SENT' })
})

test('a stream whose answer is not used is closed with its request', async (t) => {
  let stream!: SseStream
  const worker = startFakeWorker((_req, ctx) => {
    stream = ctx.sse()
    stream.send({ data: 'lost' })
    return new Answer('no', { status: 403 })
  })
  worker.native.request()
  worker.native.wake()
  await stream.closed
  t.is(stream.send({ data: 'a' }), 0)
  t.is(worker.native.openings.length, 0)
  await worker.runtime.settled()
})

// ── sending ──

test('what is sent before the answer is out comes first, and in order', (t) => {
  const { native, socket, stream } = answered({}, {}, (early) => {
    t.is(early.send({ data: 'a' }), 9)
    t.is(early.send({ data: 'b' }), 9)
  })
  t.is(stream.send({ data: 'c' }), 9)
  socket.open()
  native.wake()
  t.is(stream.send({ data: 'd' }), 9)
  t.deepEqual(native.callsOf('send').map(({ args }) => args), [['data: a\n\ndata: b\n\ndata: c\n\n', EVENT], ['data: d\n\n', EVENT]])
})

test('what is sent before the answer is out is bounded', (t) => {
  const { native, socket, stream } = answered()
  let taken = 0
  const line = { data: 'x'.repeat(1000) }
  for (let index = 0; index < 1000; index++) taken += stream.send(line)
  t.true(taken <= 256 * 1024 && taken > 250 * 1024, String(taken))
  t.is(stream.send(line), 0)
  socket.open()
  native.wake()
  t.is((native.callsOf('send')[0]!.args[0] as string).length, taken)
  t.is(stream.send(line), 1008)
})

test('the id is that of the connection', async (t) => {
  const early = answered()
  t.is(early.stream.id, 7)
  const made = await streaming()
  t.is(made.stream.id, 1000)
})

test('drained() waits for room', async (t) => {
  const made = await streaming()
  const { native, socket, stream } = made
  await stream.drained()
  native.sendResult = () => -1
  t.is(stream.send({ data: 'a' }), -1)
  let isDrained = false
  const waiting = stream.drained().then(() => (isDrained = true))
  await turn()
  t.false(isDrained)
  socket.drain()
  native.wake()
  await waiting
  native.sendResult = () => 0
  t.is(stream.send({ data: 'a' }), 0)
  const last = stream.drained()
  socket.close(1006)
  native.wake()
  await last
})

// ── its end ──

test('when the client leaves, closed resolves and the connection is let go', async (t) => {
  const made = await streaming()
  t.false(await isClosed(made))
  made.socket.close(1006)
  made.native.wake()
  t.true(await isClosed(made))
  saw(t, made.socket, ['release 1', 'detachConnection'])
  t.is(made.stream.send({ data: 'a' }), 0)
  made.stream.close()
  await made.stream.drained()
  saw(t, made.socket, [])
})

test('close() ends the stream behind what was sent', async (t) => {
  const made = await streaming()
  made.stream.send({ data: 'a' })
  made.stream.close()
  made.stream.close()
  t.is(made.stream.send({ data: 'b' }), 0)
  saw(t, made.socket, [`send data: a\n\n ${EVENT}`, 'closeConnection 1000 '])
  t.false(await isClosed(made))
  made.socket.close(1000)
  made.native.wake()
  t.true(await isClosed(made))
})

test('a stream that was closed before it is open sends what it had and ends', async (t) => {
  const made = answered({}, {}, (stream) => {
    stream.send({ data: 'a' })
    stream.close()
    stream.send({ data: 'b' })
  })
  made.socket.open()
  made.native.wake()
  saw(t, made.socket, [`send data: a\n\n ${EVENT}`, 'closeConnection 1000 '])
})

test('a client that leaves before the stream is open is no error, and nothing stays in hand', async (t) => {
  const made = answered()
  made.native.abort(AbortReason.CLIENT_GONE)
  made.native.wake()
  t.true(await isClosed(made))
  await made.runtime.settled()
  t.deepEqual(made.reports, [])
})

test('an exchange that is gone opens nothing, and nothing stays in hand', async (t) => {
  let stream!: SseStream
  const worker = startFakeWorker((_req, ctx) => (stream = ctx.sse()).response)
  worker.native.gone.add(0)
  worker.native.request()
  worker.native.wake()
  await stream.closed
  await worker.runtime.settled()
  t.deepEqual(worker.reports, [])
})

// ── leaving the worker ──

test('a stream with topics is let go when another worker is to have it, and closed tells', async (t) => {
  const made = await streaming({ topics: ['news'] })
  made.socket.handover()
  made.native.wake()
  t.true(await isClosed(made))
  saw(t, made.socket, ['release 0', 'detachConnection'])
  t.is(made.stream.send({ data: 'a' }), 0)
})

test('a stream without topics keeps a leaving worker until it is closed', async (t) => {
  const made = await streaming()
  made.socket.handover()
  made.native.wake()
  let settled = false
  const done = made.runtime.settled().then(() => (settled = true))
  t.false(await isClosed(made))
  t.false(settled)
  t.is(made.stream.send({ data: 'a' }), 9)
  made.stream.close()
  await done
  saw(t, made.socket, [`send data: a\n\n ${EVENT}`, 'closeConnection 1000 ', 'release 0', 'detachConnection'])
  t.true(await isClosed(made))
})

test('a leaving worker finds out at its next event that the client has left', async (t) => {
  const made = await streaming()
  made.socket.handover()
  made.native.wake()
  made.socket.core.isOpen = false
  t.is(made.stream.send({ data: 'a' }), 0)
  t.true(await isClosed(made))
  await made.runtime.settled()
})

test('a worker that is out of time ends the streams that keep it', async (t) => {
  const made = await streaming()
  made.socket.handover()
  made.native.wake()
  made.runtime.abort()
  await made.runtime.settled()
  saw(t, made.socket, ['closeConnection 1000 ', 'release 0', 'detachConnection'])
})

test('after its worker has left the core a stream does nothing, and says so', async (t) => {
  const made = await streaming()
  made.runtime.detach()
  made.native.takeCalls()
  t.is(made.stream.send({ data: 'a' }), 0)
  made.stream.close()
  await made.stream.drained()
  saw(t, made.socket, [])
})
