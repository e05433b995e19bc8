import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { SocketClient } from '../support/socket-client.ts'
import { Notes, openGate } from '../support/socket-notes.ts'
import { AppFolder, portOf, startServer } from '../support/server.ts'

const app = new URL('../fixtures/mortal-socket.mjs', import.meta.url)

async function start(t: ExecutionContext, config: Partial<Config> = {}): Promise<{ server: Server; notes: Notes; connect(): Promise<SocketClient> }> {
  const server = await startServer(t, { app, workers: 1, ...config })
  return { server, notes: new Notes(server), connect: () => SocketClient.connect(t, portOf(server)) }
}

test('shutdown closes idle connections with 1001, and their handlers hear of it', async (t) => {
  const { server, notes, connect } = await start(t)
  const clients = await Promise.all(Array.from({ length: 3 }, () => connect()))
  await server.shutdown()
  for (const client of clients) t.deepEqual(await client.closed, { code: 1001, reason: '' })
  const closes = notes.of().filter(({ event }) => event === 'close')
  t.is(closes.length, 3)
  for (const { data, info } of closes) {
    t.deepEqual(info, { by: 'shutdown', clean: true, code: 1001, reason: '' })
    t.deepEqual(data, { from: 'upgrade' }, 'in the worker that had them')
  }
  notes.check(t)
})

test('shutdown: what had come is handled and answered before the connection is closed', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.send('gate hand 1', 'echo 2', 'async 3', 'echo 4')
  await notes.until(({ text }) => text === 'gate hand 1')
  await client.ping('all of it has come')
  const stopped = server.shutdown()
  await client.ping('answered meanwhile')
  t.deepEqual(client.received, [])
  t.false(client.isEnded)
  openGate('hand')
  t.deepEqual(await client.closed, { code: 1001, reason: '' })
  t.deepEqual(client.received, ['gate hand 1', 'echo 2', 'async 3', 'echo 4'])
  await stopped
  t.like(notes.of().at(-1), { event: 'close', info: { by: 'shutdown', clean: true } })
  notes.check(t)
})

for (const lines of [['async 1', 'echo 2'], ['async 1', 'async 2'], ['async 1', 'echo 2', 'async 3', 'echo 4']]) {
  test(`shutdown: what the worker has not even looked at is handled and answered before the connection is closed: ${lines.join(', ')}`, async (t) => {
    const { server, notes, connect } = await start(t)
    const [blocker, client] = [await connect(), await connect()]
    blocker.send('block 300')
    await notes.until(({ text }) => text === 'block 300')
    client.send(...lines)
    await client.ping('all of it has come')
    const stopped = server.shutdown()
    t.deepEqual(await client.closed, { code: 1001, reason: '' })
    t.deepEqual(client.received, lines)
    await stopped
    notes.check(t)
  })
}

test('shutdown waits for every handler of a connection that may have several', async (t) => {
  const folder = await AppFolder.create(t)
  const several = await folder.write(`import app from ${JSON.stringify(app.href)}
export default { ...app, websocket: { ...app.websocket, concurrency: 3 } }`)
  const { server, notes, connect } = await start(t, { app: several })
  const client = await connect()
  client.send('gate one 1', 'gate two 2')
  await notes.until(({ text }) => text === 'gate two 2')
  const stopped = server.shutdown()
  openGate('two')
  await client.next((text) => text === 'gate two 2')
  await client.ping()
  t.false(client.isEnded)
  openGate('one')
  t.is((await client.closed).code, 1001)
  t.deepEqual(client.received, ['gate two 2', 'gate one 1'])
  await stopped
  notes.check(t, { concurrency: 3 })
})

test('shutdown: a handler that never settles holds it up no longer than its time', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.send('gate never 1')
  await notes.until(({ text }) => text === 'gate never 1')
  await server.shutdown({ timeout: 300 })
  const { code } = await client.closed
  t.true(code === 1001 || code === 1006, String(code))
})

test('shutdown during a reload: the message that the old worker still handles is answered first', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.send('gate old 1', 'echo 2')
  await notes.until(({ text }) => text === 'gate old 1')
  await server.reload()
  const stopped = server.shutdown()
  await client.ping()
  openGate('old')
  t.is((await client.closed).code, 1001)
  t.deepEqual(client.received, ['gate old 1', 'echo 2'])
  await stopped
  t.deepEqual(notes.story(), ['open', 'begin gate old 1', 'end gate old 1', 'adopt reload', 'begin echo 2', 'end echo 2', 'close'])
  notes.check(t)
})

test('shutdown ends event streams as whole answers', async (t) => {
  const { server } = await start(t)
  const response = await fetch(`${server.url}/events?topic=news&hello`)
  const stopped = server.shutdown()
  t.is(await response.text(), 'data: hello\n\n')
  await stopped
})

test('shutdown does not wait for the code of an event stream, not even in a worker that was replaced', async (t) => {
  const { server, notes } = await start(t)
  const response = await fetch(`${server.url}/events?gate=never&hello`)
  await notes.until(({ event }) => event === 'stream')
  const text = response.text()
  await server.reload()
  await server.shutdown()
  t.is(await text, 'data: hello\n\n')
  await notes.until(({ event }) => event === 'stream-closed')
})
