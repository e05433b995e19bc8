/** Which request becomes a WebSocket, who decides on it, and what is sent then. */
import test from 'ava'
import { AbortReason, Handshake } from '../../src-ts/bridge/record.ts'
import type { App } from '../../src-ts/app.ts'
import type { Context } from '../../src-ts/context.ts'
import { context as currentContext } from '../../src-ts/context-store.ts'
import { SluiceResponse } from '../../src-ts/http/response.ts'
import type { WebSocketHandlers } from '../../src-ts/websocket/handlers.ts'
import { decodeState } from '../../src-ts/websocket/state.ts'
import type { FakeNative } from '../support/fake-native.ts'
import { startFakeWorker, type FakeWorker } from '../support/fake-worker.ts'
import { FakeSocket, Gate, handshake, opened, turn } from './fake-socket.ts'

const Answer = SluiceResponse as unknown as typeof Response

const message = (): void => undefined

/** The answer to one request: a status, or 101 when it was upgraded. */
function statusOf(native: FakeNative, index = 0): number | undefined {
  return native.openings.some((one) => one.index === index) ? 101 : native.of(index)[0]?.status
}

/** Asks with a valid handshake for `target`. */
function ask(worker: FakeWorker, target = '/live', more: readonly (readonly [string, string])[] = []): number | undefined {
  worker.native.request(handshake(more, { target }))
  worker.native.wake()
  return statusOf(worker.native)
}

// ── who decides ──

test('without upgrade, path and fetch every handshake is accepted', (t) => {
  const worker = startFakeWorker({ websocket: { message } })
  t.is(ask(worker), 101)
  t.like(worker.native.openings[0], { index: 0, lane: 0, generation: 1, headers: '', protocol: '', state: null })
})

test('with fetch but without upgrade and path, fetch decides', (t) => {
  const accepting = startFakeWorker({ fetch: (_req, ctx) => ctx.upgrade(), websocket: { message } })
  t.is(ask(accepting), 101)
  const refusing = startFakeWorker({ fetch: () => new Answer('no', { status: 403 }), websocket: { message } })
  t.is(ask(refusing), 403)
})

for (const [path, target, isMeant] of [
  ['/live', '/live', true],
  ['/live', '/live?a=/b', true],
  ['/live', '/live/', false],
  ['/live', '/lively', false],
  ['/live', 'http://example.test/live?x', true],
  ['/live*', '/lively', true],
  ['/live/*', '/live/room?x', true],
  ['/live/*', '/live', false],
  [['/a', '/b/*'], '/b/c', true],
  [['/a', '/b/*'], '/c', false],
  ['/*', '/', true],
] as const) {
  test(`a handshake for ${target} ${isMeant ? 'is meant' : 'goes to fetch'} with path ${JSON.stringify(path)}`, (t) => {
    const worker = startFakeWorker({ fetch: () => new Answer('page', { status: 299 }), websocket: { path, message } })
    t.is(ask(worker, target), isMeant ? 101 : 299)
  })
}

test('with upgrade, it is asked and fetch is not', (t) => {
  const asked: unknown[] = []
  const worker = startFakeWorker({
    fetch: () => new Answer('page'),
    websocket: { message, upgrade: (req, ctx) => void asked.push(req.url, req.headers.get('upgrade'), ctx.host) },
  })
  t.is(ask(worker, '/live?room=1'), 101)
  t.deepEqual(asked, ['http://example.test/live?room=1', 'websocket', 'example.test'])
})

for (const [what, given, status] of [
  ['nothing', undefined, 101],
  ['an empty object', {}, 101],
  ['a refusal', new Answer('no', { status: 401, headers: { 'www-authenticate': 'Basic' } }), 401],
  ['a redirect', Answer.redirect('/elsewhere'), 302],
  ['an answer of success', new Answer('ok'), 500],
  ['a number', 7, 500],
  ['null', null, 500],
] as const) {
  for (const how of ['at once', 'later'] as const) {
    test(`upgrade that gives ${what} ${how} leads to ${status}`, async (t) => {
      const worker = startFakeWorker({ websocket: { message, upgrade: () => (how === 'later' ? Promise.resolve(given) : given) as never } })
      ask(worker)
      await turn()
      t.is(statusOf(worker.native), status)
      t.is(worker.reports.length, status === 500 ? 1 : 0)
      t.is(worker.native.callsOf('closeConnection').length, 0)
    })
  }
}

test('an upgrade that throws is answered by the app\'s error handler', async (t) => {
  const worker = startFakeWorker({
    error: (error) => new Answer((error as Error).message, { status: 418 }),
    websocket: {
      message,
      upgrade: () => {
        throw new Error('no tea')
      },
    },
  })
  ask(worker)
  await worker.runtime.settled()
  t.like(worker.native.of(0)[0], { status: 418, body: 'no tea' })
})

test('hooks run before the handshake is decided on, and may answer it', async (t) => {
  const order: string[] = []
  const app = (refuse: boolean): App => ({
    hooks: {
      requestReceived: () => {
        order.push('received')
        return refuse ? new Answer('no', { status: 401 }) : undefined
      },
      responseGenerated: (_req, res) => void order.push(`generated ${res.status}`),
    },
    websocket: { message, upgrade: () => void order.push('upgrade') },
  })
  const refused = startFakeWorker(app(true))
  ask(refused)
  await refused.runtime.settled()
  t.is(statusOf(refused.native), 401)
  const accepted = startFakeWorker(app(false))
  ask(accepted)
  await turn()
  t.is(statusOf(accepted.native), 101)
  t.deepEqual(order, ['received', 'generated 401', 'received', 'upgrade', 'generated 101'])
})

// ── what is no handshake ──

for (const [name, kind, status, fields] of [
  ['an ordinary request', Handshake.NONE, 426, ['upgrade: websocket']],
  ['another version', Handshake.OTHER_VERSION, 426, ['upgrade: websocket', 'sec-websocket-version: 13']],
  ['a malformed handshake', Handshake.MALFORMED, 400, []],
] as const) {
  for (const [where, app] of [
    ['an app without fetch', { websocket: { message } }],
    ['ctx.upgrade()', { fetch: (_req: Request, ctx: Context) => ctx.upgrade(), websocket: { message } }],
  ] as const) {
    test(`${name} is answered with ${status} by ${where}`, (t) => {
      const { native } = startFakeWorker(app)
      native.request(handshake([], { handshake: kind }))
      native.wake()
      const [command] = native.of(0)
      t.is(command!.status, status)
      for (const field of fields) t.true(command!.headers!.includes(`${field}\r\n`), command!.headers!)
      t.is(command!.headers!.includes('sec-websocket-version'), kind === Handshake.OTHER_VERSION)
      t.is(native.openings.length, 0)
    })
  }
}

test('an ordinary request of an app with fetch and path goes to fetch', (t) => {
  const worker = startFakeWorker({ fetch: () => new Answer('page'), websocket: { path: '/live', upgrade: () => undefined, message } })
  worker.native.request({ target: '/live' })
  worker.native.wake()
  t.is(worker.native.of(0)[0]!.body, 'page')
})

test('ctx.upgrade() without websocket handlers is a mistake', async (t) => {
  const worker = startFakeWorker((_req, ctx) => ctx.upgrade())
  t.is(ask(worker), 500)
  t.like(worker.reports[0]!.error, { code: 'ERR_SLUICE_INVALID_STATE' })
})

test('websocket handlers are looked at when the app is loaded', (t) => {
  for (const websocket of [{}, 7, { message: 1 }, { message, close: 'x' }, { message, concurrency: 0 }, { message, path: 'live' }, { message, path: '/a*b' }, { message, options: { maxPayload: 0 } }, { message, options: { protocols: ['a b'] } }, { message, options: { compression: 'yes' } }, { message, options: { compression: { level: 10 } } }, { message, options: { resume: true } }, { message, options: { resume: { window: 0, buffer: 1 } } }, { message, options: { deliver: 'frames' } }]) {
    t.throws(() => startFakeWorker({ websocket: websocket as never }), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG', message: /websocket/ }, JSON.stringify(websocket))
  }
})

// ── what is sent ──

test('fields, subprotocol, state and settings go to the core', (t) => {
  const worker = startFakeWorker({
    websocket: {
      message,
      ping: message,
      upgrade: () => ({ protocol: 'b', state: { room: 1 }, headers: { 'set-cookie': 'a=1', 'x-who': 'me' } }),
      options: { maxPayload: 1000, compression: { level: 9, minBytes: 5, contextTakeover: true }, closeTimeout: 77, deliver: 'frame', resume: { window: 2000, buffer: 3000 } },
    },
  })
  t.is(ask(worker, '/live', [['sec-websocket-protocol', 'a, b']]), 101)
  const [opening] = worker.native.openings
  t.is(opening!.headers, 'set-cookie: a=1\r\nx-who: me\r\n')
  t.is(opening!.protocol, 'b')
  t.deepEqual(decodeState(opening!.state!), { room: 1 })
  const { buffer, byteOffset } = opening!.settings
  const words = new DataView(buffer, byteOffset)
  t.deepEqual(Array.from({ length: 10 }, (_, index) => words.getUint32(index * 4, true)), [1000, 1 | 2 | 4 | 8 | 64, 9, 5, 77, 2000, 3000, 0, 0, 0])
})

for (const [offered, protocols, wanted, expected] of [
  [undefined, undefined, undefined, ''],
  ['a', undefined, undefined, ''],
  ['a', ['b', 'a'], undefined, 'a'],
  ['a,b', ['b', 'a'], undefined, 'b'],
  ['c', ['b', 'a'], undefined, ''],
  ['a , b', undefined, 'b', 'b'],
  ['a', ['a'], 'b', null],
  [undefined, undefined, 'a', null],
  ['ab', undefined, 'a', null],
] as const) {
  test(`offered ${offered}, preferred ${String(protocols)}, wanted ${wanted}: ${expected === null ? 'refused as a mistake' : `agreed on '${expected}'`}`, (t) => {
    const worker = startFakeWorker({ websocket: { message, upgrade: () => (wanted === undefined ? undefined : { protocol: wanted }), ...(protocols && { options: { protocols } }) } })
    const status = ask(worker, '/', offered === undefined ? [] : [['sec-websocket-protocol', offered]])
    if (expected === null) {
      t.is(status, 500)
      t.like(worker.reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
    } else {
      t.is(worker.native.openings[0]?.protocol, expected)
    }
  })
}

for (const name of ['Connection', 'upgrade', 'Sec-WebSocket-Accept', 'sec-websocket-protocol', 'sec-websocket-extensions', 'content-length', 'Transfer-Encoding']) {
  test(`the field ${name} of a handshake is not the app's`, (t) => {
    for (const headers of [{ [name]: 'x' }, [[name, 'x']] as [string, string][], new Headers([[name, 'x']])]) {
      const worker = startFakeWorker({ websocket: { message, upgrade: () => ({ headers }) } })
      t.is(ask(worker), 500)
      t.like(worker.reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
    }
  })
}

test('a field that a hook adds to the handshake is checked, too', async (t) => {
  const worker = startFakeWorker({
    hooks: { responseGenerated: (_req, res) => res.headers.set('sec-websocket-accept', 'forged') },
    websocket: { message },
  })
  ask(worker)
  await turn()
  t.is(statusOf(worker.native), 500)
})

test('a state that is too large refuses the handshake as a mistake', (t) => {
  const worker = startFakeWorker({ websocket: { message, upgrade: () => ({ state: 'x'.repeat(20_000) }) } })
  t.is(ask(worker), 500)
  t.like(worker.reports[0]!.error, { code: 'ERR_SLUICE_STATE_TOO_LARGE' })
})

test('the answer of ctx.upgrade() is good for its own request only, and once', async (t) => {
  let kept: Response | undefined
  const worker = startFakeWorker({ fetch: (_req, ctx) => (kept ??= ctx.upgrade()), websocket: { message } })
  worker.native.request(handshake([], { index: 1 }))
  worker.native.wake()
  worker.native.request(handshake([], { index: 2 }))
  worker.native.wake()
  await turn()
  t.deepEqual([statusOf(worker.native, 1), statusOf(worker.native, 2)], [101, 500])
  t.like(worker.reports[0]!.error, { code: 'ERR_SLUICE_RESPONSE_SENT' })
})

test('an answer of ctx.upgrade() that is not used opens nothing', (t) => {
  const worker = startFakeWorker({
    fetch: (_req, ctx) => {
      ctx.upgrade()
      return new Answer('no', { status: 403 })
    },
    websocket: { message },
  })
  t.is(ask(worker), 403)
  t.is(worker.native.openings.length, 0)
})

test('the answer of an upgrade shows its status and fields, and no body', (t) => {
  let seen: unknown[] = []
  const worker = startFakeWorker({
    fetch: (_req, ctx) => {
      const res = ctx.upgrade({ headers: { 'x-a': '1' } })
      t.throws(() => res.clone(), { instanceOf: TypeError })
      t.throws(() => res.text(), { instanceOf: TypeError })
      seen = [res.status, res.headers.get('x-a'), res.body, res.bodyUsed, res.ok]
      return res
    },
    websocket: { message },
  })
  t.is(ask(worker), 101)
  t.deepEqual(seen, [101, '1', null, false, false])
  t.is(worker.native.openings[0]!.headers, 'x-a: 1\r\n')
})

// ── from the answer to the open connection ──

/** Handlers that note what `open` gets. */
function noting(more: Partial<WebSocketHandlers> = {}): { handlers: WebSocketHandlers; events: string[] } {
  const events: string[] = []
  return { events, handlers: { open: (ws) => void events.push(`open ${ws.id}`), message: (_ws, data) => void events.push(`message ${String(data)}`), close: () => void events.push('close'), ...more } }
}

test('the request is in hand until open has settled, then after() runs', async (t) => {
  const gate = new Gate()
  const events: string[] = []
  const worker = startFakeWorker({
    websocket: {
      message,
      upgrade: (_req, ctx) => ctx.after(() => void events.push('after')),
      open: async (_ws, req, ctx) => {
        await gate.promise
        events.push(`${req.url} ${ctx.host}`)
      },
    },
  })
  ask(worker)
  t.is(worker.runtime.inflight(), 1)
  const socket = new FakeSocket(worker.native)
  socket.open()
  worker.native.wake()
  worker.native.scribble()
  await turn()
  t.is(worker.runtime.inflight(), 1)
  gate.open()
  await worker.runtime.settled()
  t.deepEqual(events, ['http://example.test/live example.test', 'after'])
})

test('open gets the data of upgrade, and its own context', (t) => {
  const got: unknown[] = []
  const worker = startFakeWorker({
    websocket: {
      message,
      upgrade: (_req, ctx) => {
        ctx.locals['user'] = 'ann'
        return { data: { name: 'ann' } }
      },
      open: (ws, _req, ctx) => void got.push(ws.data, ctx.locals['user'], currentContext() === ctx),
    },
  })
  opened(worker.native)
  t.deepEqual(got, [{ name: 'ann' }, 'ann', true])
})

test('messages that came with the handshake are handled after open', (t) => {
  const { events, handlers } = noting()
  const worker = startFakeWorker({ websocket: handlers })
  ask(worker)
  const socket = new FakeSocket(worker.native, { id: 2 ** 40 + 3 })
  socket.open()
  socket.message('a')
  socket.close()
  worker.native.wake()
  t.deepEqual(events, [`open ${2 ** 40 + 3}`, 'message a', 'close'])
})

test('a handshake whose exchange is gone opens nothing, and nothing stays in hand', async (t) => {
  const { events, handlers } = noting()
  const worker = startFakeWorker({ websocket: handlers })
  worker.native.gone.add(0)
  ask(worker)
  await worker.runtime.settled()
  t.deepEqual([events, worker.reports], [[], []])
})

test('a client that leaves before the connection is open is no error, and nothing stays in hand', async (t) => {
  const { events, handlers } = noting()
  const worker = startFakeWorker({ websocket: handlers })
  ask(worker)
  worker.native.abort(AbortReason.CLIENT_GONE)
  worker.native.wake()
  await worker.runtime.settled()
  t.deepEqual([events, worker.reports], [[], []])
  // The place of the exchange goes to another request.
  worker.native.request(handshake([], { generation: 2 }))
  worker.native.wake()
  new FakeSocket(worker.native).open()
  worker.native.wake()
  t.deepEqual(events, ['open 1000'])
})

test('a connection that is gone before its worker hears of it leaves nothing in hand', async (t) => {
  const { events, handlers } = noting()
  const worker = startFakeWorker({ websocket: handlers })
  ask(worker)
  const socket = new FakeSocket(worker.native)
  worker.native.missing.add(socket.id)
  socket.open()
  worker.native.wake()
  await worker.runtime.settled()
  t.deepEqual([events, worker.reports], [[], []])
})

test('connections of several reactors do not mix', (t) => {
  const got: string[] = []
  const worker = startFakeWorker({ websocket: { message: (ws, data) => void got.push(`${ws.id} ${String(data)}`) } }, { lanes: 2 })
  const one = opened(worker.native, { id: 1, lane: 0 }, { lane: 0 })
  const other = opened(worker.native, { id: 2, lane: 1 }, { lane: 1 })
  one.message('a')
  other.message('b')
  worker.native.wake()
  t.deepEqual(got.toSorted(), ['1 a', '2 b'])
})
