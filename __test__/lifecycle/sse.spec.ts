import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { EventClient } from '../support/socket-events.ts'
import { Notes, openGate } from '../support/socket-notes.ts'
import { ask, next, startServer } from '../support/server.ts'

const { serial } = test
const app = new URL('../fixtures/mortal-socket.mjs', import.meta.url)

async function start(t: ExecutionContext, config: Partial<Config> = {}): Promise<{ server: Server; notes: Notes; connect(query: string, last?: string): Promise<EventClient> }> {
  const server = await startServer(t, { app, workers: 2, reload: { drainGrace: 0, rollback: false }, ...config })
  const notes = new Notes(server)
  return { server, notes, connect: (query, last) => EventClient.connect(t, `${server.url}/events?${query}`, last) }
}

/** Publishes numbers to `news`, one per turn of the event loop, until it is told to stop; gives how many. */
function publishing(server: Server): () => number {
  let count = 0
  const timer = setInterval(() => server.publish('news', String((count += 1))), 2)
  return () => (clearInterval(timer), count)
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index + 1))

serial('the events of a topic go on over reloads without a gap, a double or another order, and so do their ids', async (t) => {
  const { server, connect } = await start(t)
  const clients = await Promise.all(Array.from({ length: 4 }, () => connect('topic=news')))
  const stop = publishing(server)
  for (let round = 0; round < 3; round += 1) t.true((await server.reload()).ok)
  const count = stop()
  t.true(count > 3, `${count} events`)
  for (const client of clients) {
    await client.count(count)
    t.deepEqual(client.data, numbers(count))
    const ids = client.events.map(({ id }) => id)
    t.is(new Set(ids).size, count, 'every event has an id of its own')
    t.deepEqual(ids, clients[0]?.events.map(({ id }) => id), 'an event has the same id for everybody')
  }
  t.like(server.stats(), { socketOpenCount: 4, socketCloseCount: 0 })
})

for (const way of ['exit', 'throw', 'loop']) {
  serial(`the events of a topic go on while workers die by ${way}`, async (t) => {
    const { server, connect } = await start(t, { stuckAfter: way === 'loop' ? 500 : 30_000 })
    const clients = await Promise.all(Array.from({ length: 4 }, () => connect('topic=news')))
    const stop = publishing(server)
    const successor = next(server, 'workerStart', ({ reason }) => reason === 'crash' || reason === 'stuck')
    const death = next(server, 'workerError')
    await ask(server, `/die?way=${way}`)
    await death
    await successor
    const count = stop()
    for (const client of clients) {
      await client.count(count)
      t.deepEqual(client.data, numbers(count))
    }
    t.like(server.stats(), { socketOpenCount: 4, socketCloseCount: 0, crashes: 1 })
  })
}

serial('a client that comes back after reload and crash gets what it missed, and no more', async (t) => {
  const { server, connect } = await start(t, { workers: 1 })
  const client = await connect('topic=news')
  for (const number of numbers(3)) server.publish('news', number)
  const events = await client.count(3)
  await server.reload()
  for (const number of ['4', '5']) server.publish('news', number)
  await client.count(5)
  const successor = next(server, 'workerStart', ({ reason }) => reason === 'crash')
  await ask(server, '/die?way=exit')
  await successor
  server.publish('news', '6')
  const again = await connect('topic=news', events[2]?.id)
  server.publish('news', '7')
  await again.count(4)
  t.deepEqual(again.data, ['4', '5', '6', '7'])
  await client.count(7)
  t.deepEqual(client.data, numbers(7))
})

serial('a stream with topics is let go by a leaving worker, and its code hears of it', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect('topic=news&hello')
  await client.count(1)
  const gone = next(server, 'afterReload')
  await server.reload()
  const { id } = await notes.until(({ event }) => event === 'stream-closed')
  await gone
  t.is(server.push(id, 'by id') > 0, true)
  await client.count(2)
  t.deepEqual(client.data, ['hello', 'by id'])
})

serial('a stream without topics keeps its worker until its code has closed it', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect('gate=end&hello')
  await client.count(1)
  let isGone = false
  const gone = next(server, 'afterReload').then(() => (isGone = true))
  await server.reload()
  t.false(isGone)
  openGate('end')
  t.is(await client.ended, 'whole')
  t.deepEqual(client.data, ['hello', 'last'])
  await gone
  await notes.until(({ event }) => event === 'stream-closed')
  t.like(server.stats(), { socketOpenCount: 1, socketCloseCount: 1 })
})

serial('a worker that is kept by a stream without topics goes when the client leaves', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect('hello')
  await client.count(1)
  const gone = next(server, 'afterReload')
  await server.reload()
  client.leave()
  await notes.until(({ event }) => event === 'stream-closed')
  await gone
  t.like(server.stats(), { socketOpenCount: 1, socketCloseCount: 1 })
})

serial('the streams of a worker that dies stay open, with topics and without', async (t) => {
  const { server, connect } = await start(t, { workers: 1 })
  const [own, shared] = [await connect('hello'), await connect('topic=news&hello')]
  await Promise.all([own.count(1), shared.count(1)])
  const successor = next(server, 'workerStart', ({ reason }) => reason === 'crash')
  await ask(server, '/die?way=exit')
  await successor
  server.publish('news', 'after')
  await shared.count(2)
  t.like(server.stats(), { socketOpenCount: 2, socketCloseCount: 0 })
})
