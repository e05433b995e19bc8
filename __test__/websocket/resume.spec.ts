/** A client whose connection broke goes on in the next one, with `options.resume`. */
import test from 'ava'
import type { Server } from 'sluice'

import { inline, inTime, LiveClient, realtime } from './live-client.ts'

/** Leaves without a word, as a network does. */
async function breakOff(client: LiveClient): Promise<void> {
  client.socket.terminate()
  await client.ending()
}

/** Waits until the server has seen that a connection is gone. */
async function forgotten(server: Server, id: number): Promise<void> {
  const gone = (async () => {
    while (server.exists(id)) await new Promise((resolve) => setImmediate(resolve))
  })()
  await inTime('the server to see the end', gone)
}

/** A connection that has got `received` data messages, and its token. */
async function session(t: Parameters<typeof realtime>[0], server: Server): Promise<{ client: LiveClient; token: string; id: number; received: number }> {
  const client = await LiveClient.open(t, server, { path: '/live?name=ann' })
  const token = (await client.call('ws', 'resumeToken')) as string
  const id = (await client.call('ws', 'id')) as number
  return { client, token, id, received: 2 }
}

test('missed messages come first, once and in order; state, uid, groups and topics are as they were', async (t) => {
  const server = await realtime(t)
  const { client, id, token } = await session(t, server)
  t.true(token.length >= 16)
  t.is(client.headers['sluice-resume'], token)
  await client.call('set', 'state', { score: 7 })
  await client.call('ws', 'bind', 'ann')
  await client.call('ws', 'join', 'red')
  await client.call('ws', 'subscribe', 'news')
  server.publish('news', 'seen')
  t.is(await client.next(), 'seen')
  // Two answers of `session`, four here, and a message.
  const received = 7
  await breakOff(client)
  await forgotten(server, id)
  const missed: string[] = []
  for (let index = 0; index < 20; index++) {
    server.publish('news', `news ${index}`)
    server.sendToUid('ann', `uid ${index}`)
    server.sendToGroup('red', `group ${index}`)
    missed.push(`news ${index}`, `uid ${index}`, `group ${index}`)
  }
  const back = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received}` })
  t.is(back.headers['sluice-resumed'], '60')
  t.deepEqual(await back.take(60), missed)
  t.deepEqual(await back.call('ws', 'resumed'), { missed: 60 })
  t.deepEqual(await back.call('ws', 'state'), { score: 7 })
  t.deepEqual(await back.call('ws', 'topics'), ['news'])
  server.publish('news', 'live')
  server.sendToUid('ann', 'mine')
  server.sendToGroup('red', 'ours')
  t.deepEqual(await back.take(3), ['live', 'mine', 'ours'])
  t.is(back.waiting, 0)
})

test('what was sent but not received comes again', async (t) => {
  const server = await realtime(t)
  const { client, id, received, token } = await session(t, server)
  await client.call('ws', 'subscribe', 'news')
  for (let index = 0; index < 5; index++) server.publish('news', `news ${index}`)
  t.is((await client.take(5)).length, 5)
  await breakOff(client)
  await forgotten(server, id)
  // It says that it has only seen two of the five.
  const back = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received + 1 + 2}` })
  t.deepEqual(await back.take(3), ['news 2', 'news 3', 'news 4'])
  t.deepEqual(await back.call('ws', 'resumed'), { missed: 3 })
})

for (const [what, query] of [
  ['a wrong token', (token: string) => `resume=${token.slice(0, -1)}${token.endsWith('x') ? 'y' : 'x'}&received=2`],
  ['an empty token', () => 'resume=&received=2'],
  ['a count that cannot be', (token: string) => `resume=${token}&received=999`],
  ['no number as the count', (token: string) => `resume=${token}&received=two`],
] as const) {
  test(`${what} makes a connection like any other`, async (t) => {
    const server = await realtime(t)
    const { client, id, token } = await session(t, server)
    await client.call('ws', 'subscribe', 'news')
    await breakOff(client)
    await forgotten(server, id)
    server.publish('news', 'missed')
    const back = await LiveClient.open(t, server, { path: `/live?${query(token)}` })
    t.is(back.headers['sluice-resumed'], undefined)
    t.is(await back.call('ws', 'resumed'), null)
    t.deepEqual(await back.call('ws', 'topics'), [])
    t.is(back.waiting, 0)
  })
}

test('a token is good once, and each connection has another', async (t) => {
  const server = await realtime(t)
  const { client, id, received, token } = await session(t, server)
  await breakOff(client)
  await forgotten(server, id)
  const back = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received}` })
  t.deepEqual(await back.call('ws', 'resumed'), { missed: 0 })
  const third = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received}` })
  // The second goes on, or the third: never both.
  const resumed = await third.call('ws', 'resumed')
  if (resumed === null) {
    back.send('still here')
    t.is(await back.next(), 'still here')
  } else {
    t.true((await back.ending()).code >= 1000)
  }
  const other = await LiveClient.open(t, server)
  t.not(await other.call('ws', 'resumeToken'), token)
})

test('after a close there is nothing to come back to', async (t) => {
  const server = await realtime(t)
  const { client, id, received, token } = await session(t, server)
  await client.call('ws', 'subscribe', 'news')
  client.socket.close(1000)
  await client.ending()
  await forgotten(server, id)
  const back = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received + 1}` })
  t.is(await back.call('ws', 'resumed'), null)
})

test('more than the buffer holds cannot be resumed', async (t) => {
  const server = await realtime(t)
  const { client, id, received, token } = await session(t, server)
  await client.call('ws', 'subscribe', 'news')
  await breakOff(client)
  await forgotten(server, id)
  for (let index = 0; index < 10; index++) server.publish('news', 'x'.repeat(10_000))
  const back = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received + 1}` })
  t.is(await back.call('ws', 'resumed'), null)
  t.is(back.waiting, 0)
})

test('a connection whose app does not resume has no token', async (t) => {
  const server = await inline(t, { websocket: { message: (ws: { send(data: string): number; resumeToken?: string }) => void ws.send(String(ws.resumeToken)) } })
  const client = await LiveClient.open(t, server)
  client.send('?')
  t.is(await client.next(), 'undefined')
  t.is(client.headers['sluice-resume'], undefined)
})

test('a client goes on across a reload that came between', async (t) => {
  const server = await realtime(t)
  const { client, id, received, token } = await session(t, server)
  await client.call('ws', 'subscribe', 'news')
  await breakOff(client)
  await forgotten(server, id)
  server.publish('news', 'before')
  t.true((await server.reload()).ok)
  server.publish('news', 'after')
  const back = await LiveClient.open(t, server, { path: `/live?resume=${token}&received=${received + 1}` })
  t.deepEqual(await back.take(2), ['before', 'after'])
  t.deepEqual(await back.call('ws', 'state'), { name: 'ann' })
})
