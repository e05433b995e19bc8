/* oxlint-disable unicorn/prefer-add-event-listener -- the on… attributes are tested too */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { WebSocketServer } from 'ws'
import { SluiceError, WebSocketClient, type WebSocketClientOptions, type WebSocketData } from '../../src-ts/index.ts'
import { acceptByHand, closeOf, connect, freePort, headOf, inTime, messageOf, next, open, Peer, rawServer, record } from './client-peer.ts'

const KIB = 1024
const MIB = 1024 * KIB
const nowhere = 'ws://127.0.0.1:1'

// ── what the constructor refuses ──

const refused = test.macro({
  exec: (t, url: string, options: unknown, code: string, message: RegExp) => {
    const error = t.throws(() => new WebSocketClient(url, options as WebSocketClientOptions), { instanceOf: TypeError, code, message })
    t.truthy(error)
  },
  title: (_, url, options) => `refused: ${url} ${JSON.stringify(options)}`,
})
const badArg = 'ERR_SLUICE_INVALID_ARG'
const badOption = 'ERR_SLUICE_INVALID_OPTION'
test(refused, '/chat', {}, badArg, /must be absolute, got '\/chat'/)
test(refused, 'ftp://host/', {}, badArg, /must start with ws:, wss:.*got "ftp:"/)
test(refused, 'ws://host/#part', {}, badArg, /no fragment, got "#part"/)
test(refused, 'ws://host/#', {}, badArg, /no fragment/)
test(refused, nowhere, 7, badArg, /second argument/)
test(refused, nowhere, ['a b'], badArg, /token, got "a b"/)
test(refused, nowhere, '', badArg, /token, got ""/)
test(refused, nowhere, ['a', 'b', 'a'], badArg, /"a" twice/)
test(refused, nowhere, { protocols: 7 }, badOption, /protocols must be a string or a list of strings, got 7/)
test(refused, nowhere, { reconect: true }, badOption, /unknown option `reconect`, did you mean `reconnect`\?/)
test(refused, nowhere, { reconnect: { mni: 1 } }, badOption, /unknown option `reconnect.mni`, did you mean `reconnect.min`\?/)
test(refused, nowhere, { reconnect: 5 }, badOption, /reconnect must be true, false or an object, got 5/)
test(refused, nowhere, { reconnect: { min: 10, max: 9 } }, badOption, /reconnect.max must be at least `min`, 10, got 9/)
test(refused, nowhere, { reconnect: { factor: 0.5 } }, badOption, /reconnect.factor must be a number from 1 to 100, got 0.5/)
test(refused, nowhere, { reconnect: { jitter: 1.1 } }, badOption, /reconnect.jitter/)
test(refused, nowhere, { reconnect: { retries: -1 } }, badOption, /reconnect.retries/)
test(refused, nowhere, { maxPayload: 0 }, badOption, /maxPayload must be a whole number of bytes from 1 to 1073741824, got 0/)
test(refused, nowhere, { handshakeTimeout: 1.5 }, badOption, /handshakeTimeout/)
test(refused, nowhere, { readAhead: { messages: 0 } }, badOption, /readAhead.messages/)
test(refused, nowhere, { readAhead: [] }, badOption, /readAhead must be an object, got \[\]/)
test(refused, nowhere, { binaryType: 'text' }, badOption, /binaryType must be "blob" or "arraybuffer" or "nodebuffer", got 'text'/)
test(refused, nowhere, { signal: {} }, badOption, /signal must be an AbortSignal/)
test(refused, nowhere, { headers: { 'a b': 'c' } }, badOption, /headers must be what `new Headers\(\)` takes/)
test(refused, nowhere, { headers: { 'Sec-WebSocket-Key': 'x' } }, badOption, /must not have `sec-websocket-key`/)
test(refused, nowhere, { headers: { Host: 'x' } }, badOption, /must not have `host`/)

// ── connecting fails ──

test('a refused connection gives error with the reason of the system, then close 1006', async (t) => {
  const client = connect(t, `ws://127.0.0.1:${await freePort()}/`)
  const events = record(client)
  const [error, close] = await Promise.all([next(client, 'error'), next(client, 'close')])
  t.true(error.error instanceof SluiceError)
  t.like(error.error.cause, { code: 'ECONNREFUSED', syscall: 'connect' })
  t.regex(error.message, /^Cannot connect to ws:\/\/127\.0\.0\.1:\d+\/: connect ECONNREFUSED/)
  t.is(error.status, undefined)
  t.like(close, { code: 1006, reason: '', wasClean: false })
  t.deepEqual(events, ['error', 'close 1006'])
  t.is(client.readyState, WebSocketClient.CLOSED)
})

test('an answer other than 101 gives error with its status', async (t) => {
  const server = createServer((_, response) => response.writeHead(404).end('no')).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const client = connect(t, `ws://127.0.0.1:${(server.address() as { port: number }).port}`)
  const [error] = await Promise.all([next(client, 'error'), next(client, 'close')])
  t.is(error.status, 404)
  t.regex(error.message, /The server answered 404 to the handshake/)
})

test('an answer with a wrong Sec-WebSocket-Accept gives error', async (t) => {
  const url = await rawServer(t, async (socket) => {
    await headOf(socket)
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n')
  })
  const client = connect(t, url)
  const [error] = await Promise.all([next(client, 'error'), next(client, 'close')])
  t.regex(error.message, /Invalid Sec-WebSocket-Accept header/)
})

test('a server that chooses none of the offered subprotocols gives error', async (t) => {
  const peer = await Peer.start(t, { handleProtocols: () => false })
  const client = connect(t, peer.url, ['chat'])
  const [error] = await Promise.all([next(client, 'error'), next(client, 'close')])
  t.regex(error.message, /no subprotocol/)
})

test('a server that never answers gives error when handshakeTimeout has passed', async (t) => {
  const url = await rawServer(t, () => {})
  const client = connect(t, url, { handshakeTimeout: 20 })
  const [error] = await Promise.all([next(client, 'error'), next(client, 'close')])
  t.regex(error.message, /The handshake took longer than 20 ms/)
})

test('close() before open gives error and close 1006, and the server is left alone', async (t) => {
  const url = await rawServer(t, () => t.fail('there was a connection'))
  const client = connect(t, url)
  const events = record(client)
  const ended = next(client, 'close')
  client.close()
  t.is(client.readyState, WebSocketClient.CLOSING)
  t.deepEqual(events, [], 'events come later, as from the network')
  await ended
  t.deepEqual(events, ['error', 'close 1006'])
})

test('close() during the handshake cuts the connection and is told once', async (t) => {
  let arrive: (socket: Socket) => void = () => {}
  const arrived = new Promise<Socket>((resolve) => {
    arrive = resolve
  })
  const client = connect(t, await rawServer(t, arrive))
  const events = record(client)
  const socket = await inTime('a connection', arrived)
  const ended = Promise.all([once(socket.resume(), 'close'), next(client, 'close')])
  client.close()
  await inTime('the end of the connection', ended)
  t.deepEqual(events, ['error', 'close 1006'])
})

test('a signal that has aborted already keeps it from connecting', async (t) => {
  const url = await rawServer(t, () => t.fail('there was a connection'))
  const client = connect(t, url, { signal: AbortSignal.abort('enough') })
  const [error, close] = await Promise.all([next(client, 'error'), next(client, 'close')])
  t.is(error.error.cause, 'enough')
  t.is(close.code, 1006)
})

test('a signal that aborts before open ends the client with its reason', async (t) => {
  const url = await rawServer(t, () => {})
  const controller = new AbortController()
  const client = connect(t, url, { signal: controller.signal })
  const failed = next(client, 'error')
  controller.abort('enough')
  t.is((await failed).error.cause, 'enough')
})

test('a signal that aborts after open closes with 1001', async (t) => {
  const peer = await Peer.start(t)
  const controller = new AbortController()
  const { client, socket } = await open(t, peer, { signal: controller.signal })
  const ended = Promise.all([closeOf(socket), next(client, 'close')])
  controller.abort()
  const [seen, close] = await ended
  t.is(seen.code, 1001)
  t.like(close, { code: 1001, wasClean: true })
})

// ── open ──

test('the server sees headers and subprotocols, and the client what it chose', async (t) => {
  const peer = await Peer.start(t, { handleProtocols: () => 'two' })
  const client = connect(t, peer.url, { protocols: ['one', 'two'], headers: { authorization: 'Bearer x', 'X-Two': 'y' } })
  t.is(client.protocol, '')
  const [[, request]] = await Promise.all([once(peer.server, 'connection'), next(client, 'open')])
  t.like((request as { headers: object }).headers, { authorization: 'Bearer x', 'x-two': 'y', 'sec-websocket-protocol': 'one,two' })
  t.is(client.protocol, 'two')
  t.is(client.extensions, '')
})

test('subprotocols may be the second argument, as in the standard', async (t) => {
  const peer = await Peer.start(t)
  const client = connect(t, peer.url, ['one'])
  await next(client, 'open')
  t.is(client.protocol, 'one')
})

test('readyState and its names are those of the standard', async (t) => {
  const peer = await Peer.start(t)
  const client = connect(t, peer.url)
  t.is(client.readyState, 0)
  await next(client, 'open')
  t.is(client.readyState, 1)
  const ended = next(client, 'close')
  client.close()
  t.is(client.readyState, 2)
  await ended
  t.is(client.readyState, 3)
  const names = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 }
  t.like({ ...WebSocketClient }, names)
  t.like(client, names)
})

test('http: and https: become ws: and wss: in url', (t) => {
  const urls = ['http://127.0.0.1:1/a?b', 'https://127.0.0.1:1'].map((url) => connect(t, url).url)
  t.deepEqual(urls, ['ws://127.0.0.1:1/a?b', 'wss://127.0.0.1:1/'])
})

test('ws+unix: goes to a unix socket', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-client-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'test.sock')
  const http = createServer().listen(path)
  const server = new WebSocketServer({ server: http })
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate()
    http.close()
  })
  await once(http, 'listening')
  const client = connect(t, `ws+unix:${path}:/chat?a=b`)
  const [[, request]] = await Promise.all([once(server, 'connection'), next(client, 'open')])
  t.is((request as { url: string }).url, '/chat?a=b')
})

test('nothing of the protocol is loaded before the first client', (t) => {
  const program = `
import { createRequire } from 'node:module'
import { WebSocketClient } from './src-ts/websocket/client.ts'
const isLoaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => /[\\\\/]ws[\\\\/]lib[\\\\/]/.test(file))
const before = isLoaded()
new WebSocketClient('ws://127.0.0.1:1').onclose = () => console.log(JSON.stringify([before, isLoaded()]))
`
  const { stdout, stderr } = spawnSync(process.execPath, ['--import=./scripts/ts-loader.mjs', '--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    encoding: 'utf8',
    timeout: 60_000,
  })
  t.is(stdout.trim(), '[false,true]', stderr)
})

// ── messages in ──

test('a text message is a string, with the origin of the server', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const got = next(client, 'message')
  socket.send('grüße')
  t.like(await got, { data: 'grüße', origin: peer.url, lastEventId: '' })
})

test('a binary message is what binaryType says: a Blob by default', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const receive = async (): Promise<unknown> => {
    const got = next(client, 'message')
    socket.send(Buffer.from([1, 2, 3]))
    const event = await got
    t.is(event.data, event.data, 'the same object every time')
    return event.data
  }
  const blob = await receive()
  t.true(blob instanceof Blob)
  t.deepEqual(new Uint8Array(await (blob as Blob).arrayBuffer()), new Uint8Array([1, 2, 3]))
  client.binaryType = 'arraybuffer'
  t.deepEqual(await receive(), new Uint8Array([1, 2, 3]).buffer)
  client.binaryType = 'text' as 'blob'
  t.is<string, string>(client.binaryType, 'arraybuffer', 'unknown values are ignored')
  client.binaryType = 'nodebuffer'
  t.deepEqual(await receive(), Buffer.from([1, 2, 3]))
})

test('the binaryType option sets it from the start', (t) => {
  t.is(connect(t, nowhere, { binaryType: 'nodebuffer' }).binaryType, 'nodebuffer')
})

test('on… attributes hold one handler in the place of the first, until something else is set', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const calls: string[] = []
  t.is(client.onmessage, null)
  const second = function (this: unknown): void {
    calls.push(this === client ? 'second' : 'second with a wrong this')
  }
  client.onmessage = () => calls.push('first')
  client.addEventListener('message', () => calls.push('listener'))
  client.onmessage = second
  t.is(client.onmessage, second)
  let got = next(client, 'message')
  socket.send('a')
  await got
  client.onmessage = null
  t.is(client.onmessage, null)
  got = next(client, 'message')
  socket.send('b')
  await got
  t.deepEqual(calls, ['second', 'listener', 'listener'])
})

test('onopen, onerror and onclose are called', async (t) => {
  const calls: string[] = []
  const peer = await Peer.start(t)
  const client = connect(t, peer.url)
  client.onopen = ({ type }) => calls.push(type)
  client.onerror = ({ type }) => calls.push(type)
  client.onclose = ({ type, code }) => calls.push(`${type} ${code}`)
  const socket = await peer.connection()
  const ended = next(client, 'close')
  socket.terminate()
  await ended
  t.deepEqual([client.onopen, client.onerror, client.onclose].map((handler) => typeof handler), ['function', 'function', 'function'])
  t.deepEqual(calls.slice(-2), ['error', 'close 1006'])
})

test('a message of maxPayload bytes comes, one byte more fails the connection with 1009', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { maxPayload: 1000 })
  const got = next(client, 'message')
  socket.send('x'.repeat(1000))
  t.is(((await got).data as string).length, 1000)
  const ended = Promise.all([closeOf(socket), next(client, 'error'), next(client, 'close')])
  socket.send('x'.repeat(1001))
  const [seen, error, close] = await ended
  t.is(seen.code, 1009)
  t.like(error.error.cause, { code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' })
  t.false(close.wasClean)
})

test('maxPayload counts what a compressed message becomes', async (t) => {
  const peer = await Peer.start(t, { perMessageDeflate: true })
  const { client, socket } = await open(t, peer, { maxPayload: 10_000, perMessageDeflate: true })
  const ended = Promise.all([closeOf(socket), next(client, 'close')])
  socket.send('x'.repeat(1_000_000))
  t.is((await ended)[0].code, 1009)
})

test('a frame against the protocol fails the connection with 1002', async (t) => {
  const closeFrame = new Promise<Buffer>((resolve) => {
    void rawServer(t, async (socket) => {
      await acceptByHand(socket)
      // A masked frame, which a server must not send, RFC 6455 5.1.
      socket.write(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x61]))
      resolve(await bytesOf(socket, 8))
    }).then((url) => {
      connect(t, url)
    })
  })
  const frame = await inTime('a close frame', closeFrame)
  t.is(frame[0], 0x88)
  const mask = frame.subarray(2, 6)
  t.is(((frame[6] as number) ^ (mask[0] as number)) * 256 + ((frame[7] as number) ^ (mask[1] as number)), 1002)
})

// ── messages out ──

const arrives = test.macro(async (t, data: WebSocketData, expected: string | Buffer, result: number) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const got = messageOf(socket)
  t.is(client.send(data), result)
  t.deepEqual(await got, expected)
})
test('send() returns the bytes of a text message', arrives, 'grüße', 'grüße', 7)
test('send() returns 1 for an empty message', arrives, '', '', 1)
test('send() sends an ArrayBuffer', arrives, new Uint8Array([1, 2]).buffer, Buffer.from([1, 2]), 2)
test('send() sends the part of the memory that a view shows', arrives, new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2), Buffer.from([2, 3]), 2)
test('send() sends a Blob as binary', arrives, new Blob(['ab']), Buffer.from('ab'), 2)

test('send() takes nothing else', async (t) => {
  const client = connect(t, nowhere)
  for (const data of [undefined, null, 7, {}, [1], new SharedArrayBuffer(1)]) {
    t.throws(() => client.send(data as unknown as string), { instanceOf: TypeError, code: badArg })
  }
})

test('send() returns 0 before open, while closing and after the end', async (t) => {
  const peer = await Peer.start(t)
  const client = connect(t, peer.url)
  t.is(client.send('early'), 0)
  await next(client, 'open')
  const ended = next(client, 'close')
  client.close()
  t.is(client.send('late'), 0)
  await ended
  t.is(client.send('too late'), 0)
  t.is(client.bufferedAmount, 0)
})

test('messages keep their order behind a Blob, and are taken as they are at the call', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const seen: string[] = []
  const all = new Promise<void>((resolve) => socket.on('message', (data) => seen.push(data.toString()) === 3 && resolve()))
  const memory = Buffer.from('two')
  client.send(new Blob(['one']))
  client.send(memory)
  memory.fill('x')
  client.send('three')
  await inTime('three messages', all)
  t.deepEqual(seen, ['one', 'two', 'three'])
})

test('perMessageDeflate compresses, and takes the data as it is at the call', async (t) => {
  const peer = await Peer.start(t, { perMessageDeflate: true })
  const { client, socket } = await open(t, peer, { perMessageDeflate: true })
  t.is(client.extensions, 'permessage-deflate')
  const memory = Buffer.alloc(100_000, 'a')
  const got = messageOf(socket)
  client.send(memory)
  memory.fill('b')
  t.deepEqual(await got, Buffer.alloc(100_000, 'a'))
  const echo = next(client, 'message')
  socket.send('c'.repeat(5000))
  t.is((await echo).data, 'c'.repeat(5000))
})

test('without perMessageDeflate nothing is offered to a server that would compress', async (t) => {
  const peer = await Peer.start(t, { perMessageDeflate: true })
  const { client } = await open(t, peer)
  t.is(client.extensions, '')
})

/** A server that has accepted and does not read. */
async function silent(t: Parameters<typeof rawServer>[0], options: WebSocketClientOptions): Promise<{ client: WebSocketClient; socket: Socket }> {
  let socket: Socket | undefined
  const url = await rawServer(t, async (accepted) => {
    socket = accepted
    await acceptByHand(accepted)
  })
  const client = connect(t, url, options)
  await next(client, 'open')
  return { client, socket: socket as Socket }
}

test('send() returns -1 over highWaterMark and 0 at sendBuffer, and nothing grows beyond; drain follows', async (t) => {
  const { client, socket } = await silent(t, { highWaterMark: 2 * MIB, sendBuffer: 8 * MIB })
  const chunk = Buffer.alloc(64 * KIB)
  const results = new Set<number>()
  // A write that the system takes at once counts until the next turn, so only what is refused in a later turn really waits.
  for (let turn = 0; turn < 200; turn++) {
    for (let result = 1; result !== 0; ) {
      result = client.send(chunk)
      results.add(result)
      t.true(client.bufferedAmount <= 8 * MIB + KIB * 2, `${client.bufferedAmount} bytes wait`)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.deepEqual([...results].sort((a, b) => b - a), [64 * KIB, 0, -1])
  let hasDrained = false
  const drained = client.drained().then(() => {
    hasDrained = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.false(hasDrained)
  const event = next(client, 'drain')
  socket.resume()
  await Promise.all([event, inTime('drained()', drained)])
  t.true(client.bufferedAmount <= 2 * MIB)
  t.true(client.send(chunk) > 0)
})

test('a message larger than sendBuffer is never sent, and drained() does not wait for the impossible', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { sendBuffer: 100 })
  t.is(client.send('x'.repeat(101)), 0)
  await inTime('drained()', client.drained())
  const got = messageOf(socket)
  t.is(client.send('x'.repeat(100)), 100)
  t.is(await got, 'x'.repeat(100))
})

test('pongs that the server does not read are bounded too', async (t) => {
  const { client, socket } = await silent(t, { highWaterMark: 0, sendBuffer: 64 * KIB })
  const chunk = Buffer.alloc(16 * KIB)
  for (let turn = 0; turn < 500; turn++) {
    while (client.send(chunk) !== 0);
    await new Promise((resolve) => setImmediate(resolve))
  }
  // 20 000 pings of 125 bytes would be answered by 2.6 MB.
  const ping = Buffer.concat([Buffer.from([0x89, 125]), Buffer.alloc(125)])
  const got = next(client, 'message')
  socket.write(Buffer.concat([...Array.from({ length: 20_000 }, () => ping), Buffer.from([0x81, 1, 0x61])]))
  await got
  t.true(client.bufferedAmount <= 64 * KIB + 17 * KIB, `${client.bufferedAmount} bytes wait`)
})

test('drained() waits for open, rejects with the reason of its signal, and when the client ends', async (t) => {
  const peer = await Peer.start(t)
  const client = connect(t, peer.url)
  const gaveUp = t.throwsAsync(client.drained(AbortSignal.abort(new Error('enough'))), { message: 'enough' })
  const controller = new AbortController()
  const later = t.throwsAsync(client.drained(controller.signal), { message: 'later' })
  controller.abort(new Error('later'))
  await Promise.all([gaveUp, later, inTime('drained()', client.drained())])
  t.is(client.readyState, WebSocketClient.OPEN)
  const ended = next(client, 'close')
  client.close()
  await t.throwsAsync(client.drained(), { code: 'ERR_SLUICE_INVALID_STATE' })
  await ended

  const failing = connect(t, `ws://127.0.0.1:${await freePort()}`)
  await t.throwsAsync(failing.drained(), { code: 'ERR_SLUICE_INVALID_STATE' })
})

// ── ping ──

test('ping() resolves with the milliseconds of the round trip', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const seen = once(socket, 'ping')
  const ms = await inTime('the pong', client.ping('hello'))
  t.true(ms > 0 && ms < 20_000)
  t.deepEqual((await seen)[0], Buffer.from('hello'))
  t.true((await inTime('the pong', client.ping())) > 0)
})

test('the pong of a later ping settles the earlier ones, another pong none', async (t) => {
  const peer = await Peer.start(t, { autoPong: false })
  const { client, socket } = await open(t, peer)
  const settled: string[] = []
  const pings = ['one', 'two', 'three'].map((name) => client.ping(name).then(() => settled.push(name)))
  const seen = new Promise<void>((resolve) => socket.on('ping', (data) => data.toString() === 'three' && resolve()))
  await inTime('three pings', seen)
  const marker = next(client, 'message')
  socket.pong('unasked')
  socket.pong('two')
  socket.send('marker')
  await marker
  t.deepEqual(settled, ['one', 'two'])
  socket.pong('three')
  await inTime('the pongs', Promise.all(pings))
})

test('ping() refuses more than 125 bytes and a client that is not open', async (t) => {
  const peer = await Peer.start(t)
  const { client } = await open(t, peer)
  await inTime('the pong', client.ping(new Uint8Array(125)))
  await t.throwsAsync(client.ping(new Uint8Array(126)), { instanceOf: RangeError, code: badArg })
  await t.throwsAsync(client.ping(new Blob([]) as unknown as string), { instanceOf: TypeError, code: badArg })
  const ended = next(client, 'close')
  client.close()
  await t.throwsAsync(client.ping(), { code: 'ERR_SLUICE_INVALID_STATE' })
  await ended
})

test('ping() rejects when the connection ends first, and when its signal aborts', async (t) => {
  const peer = await Peer.start(t, { autoPong: false })
  const { client, socket } = await open(t, peer)
  const controller = new AbortController()
  const aborted = t.throwsAsync(client.ping('a', controller.signal), { message: 'enough' })
  const lost = t.throwsAsync(client.ping('b'), { code: 'ERR_SLUICE_INVALID_STATE', message: /before the pong/ })
  controller.abort(new Error('enough'))
  await aborted
  socket.terminate()
  await lost
})

test('1024 pings may be without an answer', async (t) => {
  const peer = await Peer.start(t, { autoPong: false })
  const { client } = await open(t, peer)
  const pings = Array.from({ length: 1024 }, () => t.throwsAsync(client.ping(), { message: /before the pong/ }))
  await t.throwsAsync(client.ping(), { code: 'ERR_SLUICE_INVALID_STATE', message: /has not answered 1024 pings/ })
  client.terminate()
  await Promise.all(pings)
})

test('pings of the server are answered', async (t) => {
  const peer = await Peer.start(t)
  const { socket } = await open(t, peer)
  const pong = once(socket, 'pong')
  socket.ping('are you there')
  t.deepEqual((await inTime('the pong', pong))[0], Buffer.from('are you there'))
})

// ── the end ──

const closes = test.macro(async (t, code: number | undefined, reason: string | undefined, seenCode: number) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const ended = Promise.all([closeOf(socket), next(client, 'close')])
  client.close(code, reason)
  const [seen, close] = await ended
  t.deepEqual(seen, { code: seenCode, reason: reason ?? '' })
  t.like(close, { code: seenCode, reason: reason ?? '', wasClean: true })
})
test('close() without a code sends none', closes, undefined, undefined, 1005)
test('close() with a reason alone sends 1000', closes, undefined, 'done', 1000)
test('close(1000)', closes, 1000, '', 1000)
test('close(3000)', closes, 3000, 'Grüße', 3000)
test('close(4999) with a reason of 123 bytes', closes, 4999, `${'ü'.repeat(61)}x`, 4999)

const refusesToClose = test.macro((t, code: unknown, reason: string) => {
  const client = connect(t, nowhere)
  t.throws(() => client.close(code as number, reason), { instanceOf: RangeError, code: badArg })
  t.is(client.readyState, WebSocketClient.CONNECTING)
})
for (const code of [0, 999, 1001, 1005, 2999, 5000, 3000.5, '1000', null]) test(`close(${JSON.stringify(code)}) is refused`, refusesToClose, code, '')
test('close() with a reason of 124 bytes is refused', refusesToClose, 1000, 'ü'.repeat(62))

test('a second close() does nothing', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const events = record(client)
  const ended = Promise.all([closeOf(socket), next(client, 'close')])
  client.close(4000)
  client.close(4001)
  t.is((await ended)[0].code, 4000)
  client.close()
  client.terminate()
  t.deepEqual(events, ['close 4000'])
})

test('messages that come after close() are dropped', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const ended = next(client, 'close')
  client.addEventListener('message', () => t.fail('a message after close()'))
  socket.send('late')
  client.close()
  await ended
  t.pass()
})

test('terminate() gives close 1006 without error', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const events = record(client)
  const ended = Promise.all([closeOf(socket), next(client, 'close')])
  client.terminate()
  t.is(client.readyState, WebSocketClient.CLOSING)
  const [seen, close] = await ended
  t.is(seen.code, 1006)
  t.false(close.wasClean)
  t.deepEqual(events, ['close 1006'])
})

test('a server that does not answer the close frame is cut after closeTimeout', async (t) => {
  const { client } = await silent(t, { closeTimeout: 20 })
  const events = record(client)
  const ended = next(client, 'close')
  client.close(1000)
  t.like(await ended, { code: 1006, wasClean: false })
  t.deepEqual(events, ['close 1006'])
})

test('the server closes: close with its code and reason, no error', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const events = record(client)
  const ended = next(client, 'close')
  socket.close(4002, 'bye')
  t.like(await ended, { code: 4002, reason: 'bye', wasClean: true })
  t.deepEqual(events, ['close 4002'])
})

test('the server vanishes: error, then close 1006', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const events = record(client)
  const [error] = await Promise.all([next(client, 'error'), next(client, 'close'), Promise.resolve(socket.terminate())])
  t.regex(error.message, /was lost/)
  t.deepEqual(events, ['error', 'close 1006'])
})

test('await using closes with 1000 and waits for the end', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const seen = closeOf(socket)
  await inTime('the end', client[Symbol.asyncDispose]())
  t.is(client.readyState, WebSocketClient.CLOSED)
  t.is((await seen).code, 1000)
  await inTime('the end', client[Symbol.asyncDispose]())
})

// ── for await ──

test('the iterator gives messages in order, binary as Uint8Array, and ends with the connection', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const messages = client[Symbol.asyncIterator]()
  socket.send('one')
  socket.send(Buffer.from([2]))
  socket.close(1000)
  t.deepEqual(await messages.next(), { value: 'one', done: false })
  const second = await messages.next()
  t.true(second.value instanceof Uint8Array)
  t.deepEqual([...(second.value as Uint8Array)], [2])
  t.deepEqual(await messages.next(), { value: undefined, done: true })
  t.deepEqual(await messages.next(), { value: undefined, done: true })
})

test('calls of next() that wait are answered in order, and all end', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const messages = client[Symbol.asyncIterator]()
  const results = Promise.all([messages.next(), messages.next(), messages.next(), messages.next()])
  socket.send('one')
  socket.send('two')
  socket.close(1000)
  t.deepEqual((await inTime('the results', results)).map(({ value }) => value as unknown), ['one', 'two', undefined, undefined])
})

test('the iterator gives what came and then throws when the connection failed', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer)
  const seen: unknown[] = []
  const loop = (async () => {
    for await (const message of client) {
      seen.push(message)
      socket.terminate()
    }
  })()
  socket.send('one')
  await t.throwsAsync(inTime('the end of the loop', loop), { instanceOf: SluiceError, message: /was lost/ })
  t.deepEqual(seen, ['one'])
  await t.throwsAsync(client[Symbol.asyncIterator]().next(), { message: /was lost/ }, 'who comes late learns it too')
})

test('while more than readAhead waits the socket is not read; a slow consumer gets everything in order', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { readAhead: { messages: 4 } })
  const other = await open(t, peer)
  let arrived = 0
  const full = new Promise<void>((resolve) => client.addEventListener('message', () => ++arrived === 4 && resolve()))
  const messages = client[Symbol.asyncIterator]()
  const count = 200
  for (let index = 0; index < count; index++) socket.send(Buffer.alloc(256 * KIB, index))
  await inTime('four messages', full)
  // Were it still reading, more would come while another connection of the same two ends goes back and forth.
  for (let turn = 0; turn < 50; turn++) await other.client.ping()
  t.is(arrived, 4)
  t.true(socket.bufferedAmount > 20 * MIB, 'the rest waits at the server')
  for (let index = 0; index < count; index++) {
    const { value } = await inTime(`message ${index}`, messages.next())
    t.deepEqual([(value as Uint8Array)[0], (value as Uint8Array).length], [index, 256 * KIB])
    t.true(arrived - index <= 5, `${arrived - index} messages wait`)
  }
})

test('readAhead bounds bytes too', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { readAhead: { bytes: MIB } })
  const other = await open(t, peer)
  let arrived = 0
  const full = new Promise<void>((resolve) => client.addEventListener('message', () => ++arrived === 4 && resolve()))
  client[Symbol.asyncIterator]()
  for (let index = 0; index < 100; index++) socket.send(Buffer.alloc(256 * KIB))
  await inTime('four messages', full)
  for (let turn = 0; turn < 50; turn++) await other.client.ping()
  t.is(arrived, 4)
})

test('close() is completed also when the consumer is behind, who still gets what waits', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { readAhead: { messages: 2 } })
  const messages = client[Symbol.asyncIterator]()
  let arrived = 0
  const full = new Promise<void>((resolve) => client.addEventListener('message', () => ++arrived === 2 && resolve()))
  for (let index = 0; index < 50; index++) socket.send(Buffer.alloc(256 * KIB, index))
  await inTime('two messages', full)
  const ended = next(client, 'close')
  client.close(1000)
  t.like(await ended, { code: 1000, wasClean: true })
  t.is(((await messages.next()).value as Uint8Array)[0], 0)
  t.is(((await messages.next()).value as Uint8Array)[0], 1)
  t.true((await messages.next()).done)
})

test('there is one consumer at a time; leaving the loop drops what waits and goes on reading', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { readAhead: { messages: 1 } })
  const first = client[Symbol.asyncIterator]()
  t.throws(() => client[Symbol.asyncIterator](), { code: 'ERR_SLUICE_INVALID_STATE' })
  let got = next(client, 'message')
  socket.send('dropped')
  await got
  await first.return?.()
  t.true((await first.next()).done)
  got = next(client, 'message')
  socket.send('to listeners only')
  t.is((await got).data, 'to listeners only')
  const loop = (async () => {
    for await (const message of client) return message
    return undefined
  })()
  socket.send('second')
  t.is(await inTime('a message', loop), 'second')
  t.is(client.readyState, WebSocketClient.OPEN)
})

test('an iterator of a client that was closed ends at once', async (t) => {
  const peer = await Peer.start(t)
  const { client } = await open(t, peer)
  const ended = next(client, 'close')
  client.close()
  t.true((await client[Symbol.asyncIterator]().next()).done)
  await ended
  t.true((await client[Symbol.asyncIterator]().next()).done)
})

/** `count` bytes of a socket that `acceptByHand()` has stopped. */
async function bytesOf(socket: Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  while (Buffer.concat(chunks).length < count) {
    const chunk = once(socket, 'data')
    socket.resume()
    chunks.push((await chunk)[0] as Buffer)
  }
  return Buffer.concat(chunks)
}
