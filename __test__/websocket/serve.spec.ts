/** WebSockets of a real server, with `ws` as the client: what goes in comes out, on one thread and on several. */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { defineWebSocket, type App, type Config, type Server, type WebSocketConn } from 'sluice'

import { RawClient } from '../support/raw-client.ts'
import { next as event, portOf } from '../support/server.ts'
import { inline, inTime, LiveClient, realtime } from './live-client.ts'

/** Runs a test against worker threads and against the own thread. */
const everywhere = (title: string, run: (t: ExecutionContext, server: Server) => Promise<void>): void => {
  test(`${title}, with workers`, async (t) => run(t, await realtime(t)))
  test(`${title}, inline`, async (t) => run(t, await inline(t, echo)))
}

/** Sends everything back. */
const echo: App = {
  websocket: defineWebSocket({
    message: (ws, data) => void ws.send(data),
    options: { compression: { minBytes: 0 }, protocols: ['chat.v2', 'chat.v1'], closeTimeout: 500 },
  }),
}

/** A promise and what resolves it. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((done) => (resolve = done))
  return { promise, resolve }
}

/** A server with these handlers on the own thread. */
function serving(t: ExecutionContext, websocket: App['websocket'], config: Omit<Config, 'app'> = {}): Promise<Server> {
  return inline(t, { websocket }, config)
}

const MIB = 1024 * 1024

for (const compressed of [false, true]) {
  everywhere(`messages of every size come back as they were${compressed ? ', compressed' : ''}`, async (t, server) => {
    const client = await LiveClient.open(t, server, { perMessageDeflate: compressed && { threshold: 0 } })
    t.is(client.socket.extensions.includes('permessage-deflate'), compressed)
    const texts = ['', 'a', 'naïve 🎈', 'x'.repeat(125), 'x'.repeat(126), 'é'.repeat(40_000), 'y'.repeat(MIB)]
    const binaries = [Buffer.alloc(0), randomBytes(1), randomBytes(125), randomBytes(65_535), randomBytes(65_536), randomBytes(MIB)]
    for (const data of [...texts, ...binaries]) client.send(data)
    t.deepEqual(await client.take(texts.length + binaries.length), [...texts, ...binaries])
  })
}

everywhere('fragments arrive as one message', async (t, server) => {
  const client = await LiveClient.open(t, server)
  const part = randomBytes(300)
  client.send('na', { fin: false })
  // A control frame may come between.
  client.socket.ping('between')
  client.send('ï', { fin: false })
  client.send('ve', { fin: true })
  client.send(part, { fin: false, binary: true })
  client.send(Buffer.alloc(0), { fin: false })
  client.send(part, { fin: true })
  t.deepEqual(await client.take(2), ['naïve', Buffer.concat([part, part])])
  t.deepEqual(client.control, ['pong between'])
})

test('fragments that the app sends arrive as one message', async (t) => {
  const server = await serving(t, {
    message: (ws, data) => {
      ws.send(data, { fin: false })
      ws.send('-', { continuation: true, fin: false })
      ws.ping('between')
      ws.send(data, { continuation: true })
    },
  })
  const client = await LiveClient.open(t, server)
  client.send('a')
  client.send(Buffer.from([1]))
  t.deepEqual(await client.take(2), ['a-a', Buffer.from([1, 45, 1])])
  t.deepEqual(client.control, ['ping between', 'ping between'])
})

test('frames are given one by one if that is asked for', async (t) => {
  const got: unknown[] = []
  const done = deferred<void>()
  const server = await serving(t, {
    options: { deliver: 'frame' },
    message: (_ws, data, { fin, opcode }) => {
      got.push([typeof data === 'string' ? data : Buffer.from(data).toString(), opcode, fin])
      if (got.length === 4) done.resolve()
    },
  })
  const client = await LiveClient.open(t, server)
  client.send('a', { fin: false })
  client.send('b', { fin: false })
  client.send('c', { fin: true })
  client.send('whole')
  await inTime('four frames', done.promise)
  t.deepEqual(got, [['a', 1, false], ['b', 0, false], ['c', 0, true], ['whole', 1, true]])
})

test('pings of both sides are answered, and both sides may hear of them', async (t) => {
  const got: string[] = []
  const ponged = deferred<void>()
  const server = await serving(t, {
    open: (ws) => void ws.ping('from the server'),
    message: (ws, data) => void ws.send(data),
    ping: (_ws, data) => void got.push(`ping ${Buffer.from(data).toString()}`),
    pong: (_ws, data) => {
      got.push(`pong ${Buffer.from(data).toString()}`)
      ponged.resolve()
    },
  })
  const client = await LiveClient.open(t, server)
  await client.controlled('ping from the server')
  client.socket.ping('x'.repeat(125))
  await client.controlled(`pong ${'x'.repeat(125)}`)
  await inTime('a pong', ponged.promise)
  client.send('behind')
  t.is(await client.next(), 'behind')
  t.deepEqual(got.toSorted(), [`ping ${'x'.repeat(125)}`, 'pong from the server'])
})

everywhere('the first subprotocol that the server prefers is agreed on, and none that was not offered', async (t, server) => {
  t.is((await LiveClient.open(t, server, { protocols: ['other', 'chat.v1', 'chat.v2'] })).socket.protocol, 'chat.v2')
  t.is((await LiveClient.open(t, server, { protocols: ['chat.v1'] })).socket.protocol, 'chat.v1')
  t.is((await LiveClient.open(t, server)).socket.protocol, '')
})

test('a handshake that the app refuses is answered with what it says, and the connection can be used again', async (t) => {
  const server = await realtime(t)
  const refusal = await LiveClient.refused(t, server, { path: '/live?refuse' })
  t.like(refusal, { status: 401, text: 'who are you?' })
  t.is(refusal.headers['www-authenticate'], 'Basic')
  const raw = await RawClient.connect(portOf(server))
  raw.send('GET /live?refuse HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /page HTTP/1.1\r\nHost: h\r\n\r\n')
  t.is((await raw.response()).status, 401)
  t.is((await raw.response()).text, 'page')
  raw.destroy()
})

test('what is no handshake is told what to do', async (t) => {
  const server = await inline(t, echo)
  for (const [lines, status] of [
    ['', 426],
    ['Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n', 426],
    ['Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n', 400],
  ] as const) {
    const raw = await RawClient.connect(portOf(server))
    raw.send(`GET /live HTTP/1.1\r\nHost: h\r\n${lines}\r\n`)
    const { headers, status: got } = await raw.response()
    t.is(got, status)
    if (status === 426) t.is(headers.get('upgrade'), 'websocket')
    if (lines.includes('Version: 8')) t.is(headers.get('sec-websocket-version'), '13')
    raw.destroy()
  }
})

test('a request that the path does not mean goes to fetch', async (t) => {
  const server = await realtime(t)
  t.like(await LiveClient.refused(t, server, { path: '/elsewhere' }), { status: 200, text: 'page' })
})

test('fields of the upgrade reach the client; data and state reach the handlers', async (t) => {
  const server = await realtime(t)
  const client = await LiveClient.open(t, server, { path: '/live/room?name=ann&greet', headers: { 'x-mine': 'yes' } })
  t.is(await client.next(), 'hello ann')
  t.deepEqual(client.headers['set-cookie'], ['seen=1'])
  t.deepEqual(await client.call('ws', 'data'), { from: 'ann' })
  t.deepEqual(await client.call('ws', 'state'), { name: 'ann' })
  t.is(await client.call('header', 'x-mine'), 'yes')
  await client.call('set', 'state', { name: 'bob', list: [1] })
  t.deepEqual(await client.call('ws', 'state'), { name: 'bob', list: [1] })
  t.like((await client.call('ws', 'request')) as object, { url: `http://127.0.0.1:${portOf(server)}/live/room?name=ann&greet` })
})

test('what was sent before fetch decided is not lost', async (t) => {
  const gate = deferred<void>()
  const server = await inline(t, {
    fetch: async (_req, ctx) => {
      await gate.promise
      return ctx.upgrade()
    },
    websocket: { message: (ws, data) => void ws.send(data) },
  } satisfies App)
  const raw = await RawClient.connect(portOf(server))
  // A text "hi", masked with zeroes, in the same packet as the handshake.
  raw.send(Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'), Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])]))
  gate.resolve()
  const answer = await raw.response()
  t.is(answer.status, 101)
  t.is(answer.headers.get('sec-websocket-accept'), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  const before = raw.received
  if (before < 4) t.fail()
  raw.send(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
  const { rest } = await raw.ended()
  t.deepEqual([...rest], [0x81, 2, 0x68, 0x69, 0x88, 0])
})

// ── the end ──

test('a close of the client is answered with its code, and told once', async (t) => {
  const closes: unknown[] = []
  const told = deferred<void>()
  const server = await serving(t, {
    message: () => undefined,
    close: (ws, info) => {
      closes.push(info, ws.isOpen, ws.send('late'))
      told.resolve()
    },
  })
  const client = await LiveClient.open(t, server)
  client.socket.close(4001, 'därum')
  t.deepEqual(await client.ending(), { code: 4001, reason: '' })
  await inTime('close', told.promise)
  t.deepEqual(closes, [{ by: 'peer', code: 4001, reason: 'därum', clean: true }, false, 0])
})

for (const [what, leave, expected] of [
  ['a close without a code', (client: LiveClient) => client.socket.close(), { by: 'peer', code: 1005, reason: '', clean: true }],
  ['a connection that breaks', (client: LiveClient) => client.socket.terminate(), { by: 'peer', code: 1006, reason: '', clean: false }],
] as const) {
  test(`${what} is told as what it is`, async (t) => {
    const told = deferred<unknown>()
    const server = await serving(t, { message: () => undefined, close: (_ws, info) => told.resolve(info) })
    leave(await LiveClient.open(t, server))
    t.deepEqual(await inTime('close', told.promise), expected)
  })
}

test('a close of the app reaches the client behind what was sent, and is told when the client has answered', async (t) => {
  const told = deferred<unknown>()
  const server = await serving(t, {
    message: (ws) => {
      for (let count = 0; count < 100; count++) ws.send(String(count))
      ws.close(4321, 'enough')
      ws.send('late')
    },
    close: (_ws, info) => told.resolve(info),
  })
  const client = await LiveClient.open(t, server)
  client.send('go')
  t.deepEqual(await client.ending(), { code: 4321, reason: 'enough' })
  t.deepEqual(await inTime('close', told.promise), { by: 'server', code: 4321, reason: 'enough', clean: true })
  t.is(client.waiting, 100)
})

test('terminate cuts the connection off', async (t) => {
  const told = deferred<unknown>()
  const server = await serving(t, { message: (ws) => ws.terminate(), close: (_ws, info) => told.resolve(info) })
  const client = await LiveClient.open(t, server)
  client.send('go')
  t.is((await client.ending()).code, 1006)
  t.like(await inTime('close', told.promise), { by: 'server', code: 1006, clean: false })
})

test('a client that does not answer the closing handshake is left after closeTimeout', async (t) => {
  const told = deferred<unknown>()
  const server = await serving(t, { open: (ws) => ws.close(4000, 'go away'), message: () => undefined, close: (_ws, info) => told.resolve(info), options: { closeTimeout: 50 } })
  const raw = await RawClient.connect(portOf(server))
  raw.send('GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  t.is((await raw.response()).status, 101)
  t.like(await inTime('close', told.promise), { by: 'server', clean: false })
  await raw.ended()
})

test('a handler that throws closes with 1011 and reaches the error event, and the server lives', async (t) => {
  const server = await serving(t, {
    message: (ws, data) => {
      if (data === 'bad') throw new Error('mine')
      ws.send(data)
    },
  })
  const told = event(server, 'error')
  const [client, other] = [await LiveClient.open(t, server), await LiveClient.open(t, server)]
  client.send('bad')
  t.deepEqual(await client.ending(), { code: 1011, reason: '' })
  t.like((await told)[0], { message: 'mine' })
  other.send('good')
  t.is(await other.next(), 'good')
})

test('a message above maxPayload is closed with 1009, one of just that length is not', async (t) => {
  const server = await serving(t, { message: (ws, data) => void ws.send(String(data.length)), options: { maxPayload: 1000, compression: true } })
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    const client = await LiveClient.open(t, server, { perMessageDeflate })
    client.send('x'.repeat(1000))
    t.is(await client.next(), '1000')
    client.send('x'.repeat(1001))
    t.is((await client.ending()).code, 1009)
  }
})

test('with several limits, that of the port holds where the app says nothing', async (t) => {
  const server = await serving(t, { message: (ws, data) => void ws.send(String(data.length)) }, { limits: { message: 2000 } })
  const client = await LiveClient.open(t, server)
  client.send(Buffer.alloc(2000))
  t.is(await client.next(), '2000')
  client.send(Buffer.alloc(2001))
  t.is((await client.ending()).code, 1009)
})

test('only pages of allowed origins may connect, and clients that are no browsers', async (t) => {
  const server = await inline(t, echo, { limits: { allowOrigins: ['https://good.test'] } })
  t.is((await LiveClient.refused(t, server, { origin: 'https://bad.test' })).status, 403)
  for (const options of [{ origin: 'https://good.test' }, {}]) {
    const client = await LiveClient.open(t, server, options)
    client.send('in')
    t.is(await client.next(), 'in')
  }
})

test('more handshakes in a second than allowed are refused with 503', async (t) => {
  const server = await inline(t, echo, { limits: { openPerSecond: 3 } })
  const statuses: number[] = []
  for (let count = 0; count < 20; count++) {
    const client = LiveClient.start(t, server)
    const refused = new Promise<number>((resolve) => client.socket.once('unexpected-response', (_request, { statusCode }) => resolve(statusCode!)))
    const accepted = new Promise<number>((resolve) => client.socket.once('open', () => resolve(101)))
    statuses.push(await inTime('an answer', Promise.race([refused, accepted])))
  }
  t.true(statuses.slice(0, 3).every((status) => status === 101), String(statuses))
  t.true(statuses.includes(503), String(statuses))
})

test('shutdown says 1001 to everybody, and close is told', async (t) => {
  const closes: unknown[] = []
  const server = await serving(t, { message: () => undefined, close: (_ws, { by, code }) => void closes.push([by, code]) })
  const clients = await Promise.all(Array.from({ length: 5 }, () => LiveClient.open(t, server)))
  const endings = Promise.all(clients.map((client) => client.ending()))
  await inTime('shutdown', server.shutdown({ timeout: 5_000 }))
  t.deepEqual(await endings, Array.from({ length: 5 }, () => ({ code: 1001, reason: '' })))
  t.deepEqual(closes, Array.from({ length: 5 }, () => ['shutdown', 1001]))
})

// ── order and flow ──

test('handlers that wait keep the order of 500 messages, one at a time', async (t) => {
  const order: number[] = []
  let running = 0
  let most = 0
  const server = await serving(t, {
    message: async (ws, data) => {
      most = Math.max(most, ++running)
      // Some settle at once, some after other work of the loop.
      if (Number(data) % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
      else await null
      running--
      order.push(Number(data))
      ws.send(String(data))
    },
  })
  const client = await LiveClient.open(t, server)
  for (let count = 0; count < 500; count++) client.send(count % 50 === 49 ? String(count).padStart(20_000, '0') : String(count))
  const back = await client.take(500)
  t.deepEqual(back.map(Number), Array.from({ length: 500 }, (_, index) => index))
  t.deepEqual(order, Array.from({ length: 500 }, (_, index) => index))
  t.is(most, 1)
})

test('as many handlers as `concurrency` says run beside each other, and close after all of them', async (t) => {
  let running = 0
  let most = 0
  let done = 0
  const gates: (() => void)[] = []
  const full = deferred<void>()
  const closed = deferred<number>()
  const server = await serving(t, {
    concurrency: 4,
    message: async () => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => {
        gates.push(resolve)
        if (gates.length === 4) full.resolve()
        else if (gates.length > 4) resolve()
      })
      running--
      done++
    },
    close: () => closed.resolve(done),
  })
  const client = await LiveClient.open(t, server)
  for (let count = 0; count < 20; count++) client.send('x')
  client.socket.close()
  await inTime('four handlers', full.promise)
  for (const open of gates) open()
  t.is(await inTime('close', closed.promise), 20)
  t.is(most, 4)
})

test('a slow reader gets -1, then 0, then drain, and everything that was accepted', async (t) => {
  let conn!: WebSocketConn
  const results: number[] = []
  const events: string[] = []
  const opened = deferred<void>()
  const server = await serving(
    t,
    {
      open: (ws) => {
        conn = ws
        opened.resolve()
      },
      message: () => undefined,
      highWater: () => void events.push('high'),
      drain: () => void events.push('drain'),
    },
    { limits: { sendBuffer: 256 * 1024 } },
  )
  const client = await LiveClient.open(t, server)
  client.socket.pause()
  await inTime('open', opened.promise)
  const chunk = new Uint8Array(32 * 1024)
  let accepted = 0
  // The buffers of the kernel take several megabytes before anything waits here.
  for (let sent = 0; sent < 2000 && results.at(-1) !== 0; sent++) {
    results.push(conn.send(chunk))
    if (results.at(-1) !== 0) accepted++
    if (results.at(-1)! > 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const shape = results.map(Math.sign).filter((sign, at, all) => sign !== all[at - 1])
  t.deepEqual(shape, [1, -1, 0])
  t.true(conn.bufferedAmount > 0 && conn.bufferedAmount <= 256 * 1024 + chunk.length, String(conn.bufferedAmount))
  const drained = conn.drained()
  client.socket.resume()
  await inTime('room', drained)
  t.true(conn.bufferedAmount <= 64 * 1024)
  t.is((await client.take(accepted)).length, accepted)
  await client.settled()
  t.is(client.waiting, 0)
  t.deepEqual(events.slice(0, 2), ['high', 'drain'])
})

test('a client whose messages are not handled is not read without end', async (t) => {
  const gate = deferred<void>()
  const last = deferred<void>()
  let handled = 0
  const server = await serving(t, {
    message: async () => {
      await gate.promise
      if (++handled === 401) last.resolve()
    },
  })
  const client = await LiveClient.open(t, server)
  for (let count = 0; count < 400; count++) client.send(new Uint8Array(64 * 1024))
  // What the kernel takes is some megabytes; the rest stays with the client.
  await inTime('the first message', new Promise<void>((resolve) => setImmediate(resolve)))
  t.true(client.socket.bufferedAmount > 0)
  gate.resolve()
  client.send('last')
  await inTime('the last message', last.promise)
  t.is(handled, 401)
})

test('what the app holds back waits, and comes after resume', async (t) => {
  const got: string[] = []
  let conn!: WebSocketConn
  const paused = deferred<void>()
  const ended = deferred<void>()
  const server = await serving(t, {
    message: (ws, data) => {
      conn = ws
      got.push(String(data))
      if (data === 'end') ended.resolve()
      if (data !== 'stop') return
      ws.pause()
      paused.resolve()
    },
  })
  const client = await LiveClient.open(t, server)
  client.send('stop')
  for (let count = 0; count < 10; count++) client.send(String(count))
  await inTime('the pause', paused.promise)
  // Pings are answered by the core all the while.
  await client.settled()
  t.deepEqual(got, ['stop'])
  conn.resume()
  client.send('end')
  await inTime('the last message', ended.promise)
  t.deepEqual(got, ['stop', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'end'])
})

// The epoch of a record is one bit: resuming at once, what lay in the ring before both pauses would pass for what comes after them.
test('two pauses in one turn lose no message', async (t) => {
  const done = deferred<void>()
  const got: string[] = []
  const server = await serving(t, {
    message: (ws, data) => {
      got.push(String(data))
      if (data === 'd') done.resolve()
      if (data !== 'twice') return
      for (let round = 0; round < 2; round++) {
        ws.pause()
        ws.resume()
      }
    },
  })
  const client = await LiveClient.open(t, server)
  const { _socket: socket } = client.socket as unknown as { _socket: Socket }
  socket.cork()
  for (const data of ['twice', 'a', 'b']) client.send(data)
  socket.uncork()
  // The core has read all of them.
  await client.settled()
  for (const data of ['c', 'd']) client.send(data)
  await Promise.race([done.promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`no end after ${got.join()}`)), 2_000))])
  t.deepEqual(got, ['twice', 'a', 'b', 'c', 'd'])
})
