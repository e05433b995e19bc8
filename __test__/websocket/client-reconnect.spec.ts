import { once } from 'node:events'
import { createServer } from 'node:http'
import test from 'ava'
import { WebSocketServer } from 'ws'
import { WebSocketClient } from '../../src-ts/index.ts'
import { closeOf, connect, freePort, headOf, inTime, messageOf, next, open, Peer, rawServer, record } from './client-peer.ts'

/** As fast as timers go. */
const soon = { min: 1, max: 2 }

const staysClosed = test.macro(async (t, code: number | undefined) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: soon })
  const events = record(client)
  const ended = next(client, 'close')
  socket.close(code, code === undefined ? undefined : 'enough')
  t.like(await ended, { code: code ?? 1005, wasClean: true })
  t.is(client.readyState, WebSocketClient.CLOSED)
  t.deepEqual(events, [`close ${code ?? 1005}`])
})
for (const code of [1000, undefined, 1008, 3000, 4999]) test(`no reconnect after the server closed with ${code ?? 'no code'}`, staysClosed, code)

const comesBack = test.macro(async (t, code: number) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: soon })
  const events = record(client)
  const retry = next(client, 'reconnecting')
  const opened = next(client, 'open')
  if (code === 1006) socket.terminate()
  else socket.close(code, 'later')
  t.like(await retry, { attempt: 1, code, reason: code === 1006 ? '' : 'later' })
  t.is(client.readyState, WebSocketClient.CONNECTING)
  t.is(client.send('nobody is there'), 0)
  t.is(client.bufferedAmount, 0)
  await opened
  t.is(client.readyState, WebSocketClient.OPEN)
  const second = await peer.connection()
  const got = messageOf(second)
  client.send('back')
  t.is(await got, 'back')
  t.deepEqual(events, ['reconnecting 1', 'open'])
})
for (const code of [1001, 1006, 1011, 1012, 1013]) test(`reconnects after ${code}`, comesBack, code)

const answers = test.macro(async (t, status: number, isFinal: boolean) => {
  const server = createServer((_, response) => response.writeHead(status, status === 301 ? { location: '/elsewhere' } : {}).end()).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const client = connect(t, `ws://127.0.0.1:${(server.address() as { port: number }).port}`, { reconnect: soon })
  const outcome = await Promise.race([next(client, 'reconnecting'), next(client, 'error')])
  t.is(outcome.type, isFinal ? 'error' : 'reconnecting')
  t.regex(outcome.type === 'error' ? (outcome as { message: string }).message : String(outcome.error), new RegExp(`answered ${status}`))
})
for (const status of [200, 301, 400, 401, 403, 404, 426]) test(`an answer ${status} is final`, answers, status, true)
for (const status of [408, 425, 429, 500, 502, 503]) test(`an answer ${status} is tried again`, answers, status, false)

test('an answer that is not for this client is final', async (t) => {
  const peer = await Peer.start(t, { handleProtocols: () => false })
  const client = connect(t, peer.url, { reconnect: soon, protocols: ['chat'] })
  const events = record(client)
  await next(client, 'close')
  t.deepEqual(events, ['error', 'close 1006'])
})

const asksToWait = test.macro(async (t, max: number, delay: number) => {
  const url = await rawServer(t, async (socket) => {
    await headOf(socket)
    socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n')
  })
  const client = connect(t, url, { reconnect: { min: 1, max } })
  t.is((await next(client, 'reconnecting')).delay, delay)
})
test('Retry-After lengthens the delay', asksToWait, 100_000, 60_000)
test('Retry-After does not lengthen it beyond max', asksToWait, 5000, 5000)

test('the first connection is tried again too, until the server is there', async (t) => {
  const port = await freePort()
  const client = connect(t, `ws://127.0.0.1:${port}`, { reconnect: soon })
  const opened = next(client, 'open')
  const { error, code } = await next(client, 'reconnecting')
  t.like(error?.cause, { code: 'ECONNREFUSED' })
  t.is(code, 1006)
  const server = new WebSocketServer({ port, host: '127.0.0.1' })
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  await opened
  t.is(client.readyState, WebSocketClient.OPEN)
})

test('after the last of its retries the client ends with error and close', async (t) => {
  const client = connect(t, `ws://127.0.0.1:${await freePort()}`, { reconnect: { ...soon, retries: 2 } })
  const events = record(client)
  await next(client, 'close')
  t.deepEqual(events, ['reconnecting 1', 'reconnecting 2', 'error', 'close 1006'])
})

test('reconnect: true starts with half a second, less the jitter', async (t) => {
  const client = connect(t, `ws://127.0.0.1:${await freePort()}`, { reconnect: true })
  const { delay } = await next(client, 'reconnecting')
  t.true(delay >= 250 && delay <= 500, `${delay} ms`)
})

test('without reconnect the loss of the connection is the end', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: false })
  const ended = next(client, 'close')
  socket.close(1012)
  await ended
  t.is(client.readyState, WebSocketClient.CLOSED)
})

const endsItself = test.macro(async (t, end: (client: WebSocketClient) => void, code: number) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: soon })
  const events = record(client)
  const ended = Promise.all([closeOf(socket), next(client, 'close')])
  end(client)
  t.is((await ended)[0].code, code)
  t.deepEqual(events, [`close ${code}`])
})
test('no reconnect after close()', endsItself, (client) => client.close(), 1005)
test('no reconnect after terminate()', endsItself, (client) => client.terminate(), 1006)
test('no reconnect after await using', endsItself, (client) => void client[Symbol.asyncDispose](), 1000)

const givesUp = test.macro(async (t, giveUp: (client: WebSocketClient, controller: AbortController) => void) => {
  const controller = new AbortController()
  const client = connect(t, `ws://127.0.0.1:${await freePort()}`, { reconnect: { min: 1_000_000, max: 1_000_000 }, signal: controller.signal })
  const events = record(client)
  await next(client, 'reconnecting')
  const ended = next(client, 'close')
  giveUp(client, controller)
  await ended
  t.deepEqual(events, ['reconnecting 1', 'error', 'close 1006'])
})
test('close() ends the wait for the next try', givesUp, (client) => client.close())
test('terminate() ends the wait for the next try', givesUp, (client) => client.terminate())
test('the signal ends the wait for the next try', givesUp, (_, controller) => controller.abort())

test('close() in the reconnecting event keeps it from trying', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: soon })
  const other = await open(t, peer, { reconnect: soon })
  const events = record(client)
  client.addEventListener('reconnecting', () => client.close())
  let connections = 0
  peer.server.on('connection', () => connections++)
  const ended = next(client, 'close')
  socket.terminate()
  await ended
  // A try would have to show while another client, which lost its connection later, comes back three times.
  for (let end = other.socket, turn = 0; turn < 3; turn++) {
    const opened = next(other.client, 'open')
    end.terminate()
    await opened
    end = await peer.connection()
  }
  t.deepEqual(events, ['reconnecting 1', 'error', 'close 1006'])
  t.is(connections, 3)
})

test('the iterator goes on across a reconnect and ends with the client', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: soon })
  const seen: unknown[] = []
  const loop = (async () => {
    for await (const message of client) seen.push(message)
  })()
  socket.send('one')
  socket.close(1012)
  const second = await peer.connection()
  second.send('two')
  second.close(1000)
  await inTime('the end of the loop', loop)
  t.deepEqual(seen, ['one', 'two'])
})

test('an iterator that is full when the connection is lost stops the next one from being read', async (t) => {
  const peer = await Peer.start(t)
  const { client, socket } = await open(t, peer, { reconnect: soon, readAhead: { messages: 1 } })
  const other = await open(t, peer)
  const messages = client[Symbol.asyncIterator]()
  let arrived = 0
  client.addEventListener('message', () => arrived++)
  const first = next(client, 'message')
  const opened = next(client, 'open')
  socket.send('one')
  await first
  socket.terminate()
  const second = await peer.connection()
  await opened
  second.send('two')
  for (let turn = 0; turn < 20; turn++) await other.client.ping()
  t.is(arrived, 1)
  t.is((await messages.next()).value, 'one')
  t.is((await inTime('a message', messages.next())).value, 'two')
})

test('drained() waits across a reconnect, ping() fails with its connection', async (t) => {
  const peer = await Peer.start(t, { autoPong: false })
  const { client, socket } = await open(t, peer, { reconnect: soon })
  const lost = t.throwsAsync(client.ping(), { code: 'ERR_SLUICE_INVALID_STATE', message: /before the pong/ })
  const retry = next(client, 'reconnecting')
  socket.terminate()
  await retry
  await inTime('drained()', client.drained())
  t.is(client.readyState, WebSocketClient.OPEN)
  await lost
})
