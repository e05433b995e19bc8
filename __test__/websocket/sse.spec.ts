/** Event streams of a real server: what is published, what the worker sends, and what comes again after the client has been away. */
import test from 'ava'
import type { Server, SseStream } from 'sluice'

import { RawClient } from '../support/raw-client.ts'
import { ask, portOf } from '../support/server.ts'
import { EventReader } from './event-reader.ts'
import { inline, inTime, LiveClient, realtime } from './live-client.ts'

const eventsUrl = (server: Server, query: string): string => `http://127.0.0.1:${portOf(server)}/events?${query}`

test('a stream has the fields that keep caches and proxies from holding it back', async (t) => {
  const server = await realtime(t)
  const { answer } = await EventReader.open(t, eventsUrl(server, 'topic=news'))
  t.is(answer.statusCode, 200)
  t.like(answer.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
  t.true('date' in answer.headers)
})

test('what is published to the topics of a stream comes as events with ids, lines and all', async (t) => {
  const server = await realtime(t)
  const reader = await EventReader.open(t, eventsUrl(server, 'topic=news&topic=score&retry=1234'))
  t.is(server.subscribers('news'), 1)
  t.is(server.publish('news', 'first'), 1)
  t.is(server.publish('score', 'two\nlines\r\nor three'), 1)
  t.is(server.publish('other', 'not mine'), 0)
  t.is(server.publish('news', ''), 1)
  t.is(server.publish('news', 'é🎈'), 1)
  const events = await reader.take(4)
  t.deepEqual(events.map(({ data }) => data), ['first', 'two\nlines\nor three', '', 'é🎈'])
  t.deepEqual(events.map(({ event }) => event), ['message', 'message', 'message', 'message'])
  t.is(new Set(events.map(({ id }) => id)).size, 4, 'an id of its own for each')
  t.true(events.every(({ id }) => id !== ''))
  t.is(reader.retry, 1234)
})

test('events have the topic as their name, if that is asked for', async (t) => {
  const server = await realtime(t)
  const reader = await EventReader.open(t, eventsUrl(server, 'topic=news&topic=score&named'))
  server.publish('news', 'a')
  server.publish('score', 'b')
  t.deepEqual((await reader.take(2)).map(({ data, event }) => [event, data]), [['news', 'a'], ['score', 'b']])
})

test('WebSockets and event streams on one topic get the same messages in the same order', async (t) => {
  const server = await realtime(t)
  const [reader, client] = [await EventReader.open(t, eventsUrl(server, 'topic=news')), await LiveClient.open(t, server)]
  await client.call('ws', 'subscribe', 'news')
  t.is(server.subscribers('news'), 2)
  const count = 100
  for (let index = 0; index < count; index++) {
    if (index % 2 === 0) server.publish('news', String(index))
    else await ask(server, `/publish?topic=news&data=${index}`)
  }
  const got = await client.take(count)
  t.deepEqual((await reader.take(count)).map(({ data }) => data), got)
  t.deepEqual(got.map(Number), Array.from({ length: count }, (_, index) => index))
})

test('who comes back gets what it has missed, once and in order, then what follows', async (t) => {
  const server = await realtime(t)
  const first = await EventReader.open(t, eventsUrl(server, 'topic=news&topic=score'))
  server.publish('news', 'seen')
  const { id } = await first.next()
  first.leave()
  for (let index = 0; index < 50; index++) server.publish(index % 2 === 0 ? 'news' : 'score', `missed ${index}`)
  const second = await EventReader.open(t, eventsUrl(server, 'topic=news&topic=score'), { lastEventId: id })
  server.publish('news', 'after')
  const events = await second.take(51)
  t.deepEqual(events.map(({ data }) => data), [...Array.from({ length: 50 }, (_, index) => `missed ${index}`), 'after'])

  const third = await EventReader.open(t, eventsUrl(server, 'topic=news'), { lastEventId: events[47]!.id })
  t.deepEqual((await third.take(2)).map(({ data }) => data), ['missed 48', 'after'], 'only of the topics that are asked for')
})

test('who comes without an id, and who has missed nothing, gets nothing again', async (t) => {
  const server = await realtime(t)
  const first = await EventReader.open(t, eventsUrl(server, 'topic=news'))
  server.publish('news', 'old')
  const { id } = await first.next()
  const fresh = await EventReader.open(t, eventsUrl(server, 'topic=news'))
  const back = await EventReader.open(t, eventsUrl(server, 'topic=news'), { lastEventId: id })
  server.publish('news', 'new')
  t.is((await fresh.next()).data, 'new')
  t.is((await back.next()).data, 'new')
})

for (const lastEventId of ['nonsense', '-1', '99999999999999999999', '0x1']) {
  test(`an id that was never given, ${lastEventId}, is no error`, async (t) => {
    const server = await realtime(t, { workers: 1 })
    const reader = await EventReader.open(t, eventsUrl(server, 'topic=news'), { lastEventId })
    server.publish('news', 'a')
    let { data } = await reader.next()
    // A replay that cannot be whole may say so by an event of its own.
    if (data !== 'a') data = (await reader.next()).data
    t.is(data, 'a')
  })
}

test('what is retained comes first to who subscribes later', async (t) => {
  const server = await realtime(t)
  server.publish('score', '1:0', { retain: true })
  server.publish('score', '2:0', { retain: true })
  const reader = await EventReader.open(t, eventsUrl(server, 'topic=score'))
  server.publish('score', '3:0')
  t.deepEqual((await reader.take(2)).map(({ data }) => data), ['2:0', '3:0'])
})

test('what the handler sends comes before what is published later', async (t) => {
  const server = await realtime(t)
  const reader = await EventReader.open(t, eventsUrl(server, 'topic=news&hello=you'))
  t.like(await reader.next(), { event: 'hello', data: 'you' })
  server.publish('news', 'a')
  t.is((await reader.next()).data, 'a')
})

test('bytes that are published come as base64', async (t) => {
  const server = await realtime(t)
  const reader = await EventReader.open(t, eventsUrl(server, 'topic=news'))
  server.publish('news', Uint8Array.of(0, 255, 10, 13))
  t.is(Buffer.from((await reader.next()).data, 'base64').toString('hex'), '00ff0a0d')
})

test('a stream can be closed at once, and then ends as a whole answer', async (t) => {
  const server = await realtime(t)
  const reader = await EventReader.open(t, eventsUrl(server, 'hello=bye&close'))
  t.is((await reader.next()).data, 'bye')
  t.true(await inTime('the end', reader.ended))
})

test('HEAD is answered with the fields alone, and the connection goes on', async (t) => {
  const server = await realtime(t)
  const raw = await RawClient.connect(portOf(server))
  for (let round = 0; round < 2; round++) {
    raw.send('HEAD /events?topic=news HTTP/1.1\r\nHost: h\r\n\r\n')
    const { headers, status } = await raw.response('HEAD')
    t.is(status, 200)
    t.is(headers.get('content-type'), 'text/event-stream')
  }
  raw.destroy()
  t.is(server.subscribers('news'), 0)
})

test('an HTTP/1.0 client gets its events until the connection ends', async (t) => {
  const server = await realtime(t)
  const raw = await RawClient.connect(portOf(server))
  raw.send('GET /events?hello=you&close HTTP/1.0\r\n\r\n')
  const { framing, text } = await raw.response()
  t.is(framing, 'close')
  t.true(text.endsWith('event: hello\ndata: you\n\n'), text)
})

// ── what the worker sees ──

interface Seen {
  stream: SseStream
  server: Server
  reader: EventReader
}

/** A stream on the own thread. */
async function streaming(t: Parameters<typeof inline>[0], config: Parameters<typeof inline>[2] = {}): Promise<Seen> {
  const streams: SseStream[] = []
  const server = await inline(t, {
    fetch: (_req: Request, ctx: { sse(): SseStream }) => {
      const stream = ctx.sse()
      streams.push(stream)
      return stream.response
    },
  }, config)
  const reader = await EventReader.open(t, eventsUrl(server, ''))
  return { stream: streams[0]!, server, reader }
}

test('closed resolves when the client leaves, and sending then does nothing', async (t) => {
  const { reader, server, stream } = await streaming(t)
  t.true(stream.send({ data: 'a' }) > 0)
  await reader.next()
  t.true(server.exists(stream.id))
  t.false(server.isEstablished(stream.id))
  t.like(server.getConnection(stream.id), { kind: 'sse', state: 'open', remoteAddress: '127.0.0.1' })
  reader.leave()
  await inTime('closed', stream.closed)
  t.is(stream.send({ data: 'b' }), 0)
  stream.close()
  t.false(server.exists(stream.id))
})

test('events are pushed to a stream by its id', async (t) => {
  const { reader, server, stream } = await streaming(t)
  t.true(server.push(stream.id, 'two\nlines') > 0)
  t.like(await reader.next(), { event: 'message', data: 'two\nlines' })
  t.true(server.close(stream.id))
  t.true(await inTime('the end', reader.ended))
  await inTime('closed', stream.closed)
})

test('a slow reader of a stream is waited for', async (t) => {
  const { reader, stream } = await streaming(t, { limits: { sendBuffer: 256 * 1024 } })
  reader.answer.pause()
  const data = 'x'.repeat(32 * 1024)
  let sent = 0
  let last = 1
  for (; sent < 2000 && last > 0; sent++) {
    last = stream.send({ data })
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.is(last, -1)
  const drained = stream.drained()
  reader.answer.resume()
  await inTime('room', drained)
  t.deepEqual((await reader.take(sent)).length, sent)
})

test('an idle stream gets comments, so that nothing between takes it for dead', async (t) => {
  const { reader } = await streaming(t, { heartbeat: { ping: 30 } })
  await reader.comment()
  await reader.comment()
  t.is(reader.waiting, 0)
})

test('a shutdown ends streams as whole answers', async (t) => {
  const { reader, server, stream } = await streaming(t)
  stream.send({ data: 'last' })
  await inTime('shutdown', server.shutdown({ timeout: 5_000 }))
  t.is((await reader.next()).data, 'last')
  t.true(await inTime('the end', reader.ended))
  await inTime('closed', stream.closed)
})
