import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { SocketClient } from '../support/socket-client.ts'
import { type Note, Notes, openGate } from '../support/socket-notes.ts'
import { AppFolder, answering, next, portOf, startServer } from '../support/server.ts'

// One after the other: a machine busy with many servers makes every worker slow to start, and a hang hard to tell.
const { serial } = test
const app = new URL('../fixtures/mortal-socket.mjs', import.meta.url)

async function start(t: ExecutionContext, config: Partial<Config> = {}): Promise<{ server: Server; notes: Notes; connect(path?: string): Promise<SocketClient> }> {
  const server = await startServer(t, { app, workers: 2, reload: { drainGrace: 0, rollback: false }, ...config })
  return { server, notes: new Notes(server), connect: (path) => SocketClient.connect(t, portOf(server), path) }
}

/** What the app sees of the connection that it answers on. */
async function show(client: SocketClient): Promise<Record<string, unknown>> {
  client.send('show')
  return JSON.parse(await client.next((text) => text.startsWith('{'))) as Record<string, unknown>
}

/** Connections until every worker has one, by worker. */
async function onEach(server: Server, notes: Notes, connect: () => Promise<SocketClient>): Promise<Map<number, SocketClient>> {
  const byWorker = new Map<number, SocketClient>()
  while (byWorker.size < server.stats().workers) {
    const known = new Set(notes.of().map(({ id }) => id))
    const client = await connect()
    const { worker } = await notes.until(({ event, id }) => event === 'open' && !known.has(id))
    byWorker.set(worker, client)
  }
  return byWorker
}

const adopts = (notes: Notes): Note[] => notes.of().filter(({ event }) => event === 'adopt')

serial('reload: a handler that is pending ends in the old worker, and only then the new one adopts and goes on with what waited', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.send('gate first 1', 'echo 2')
  const begin = await notes.until(({ text }) => text === 'gate first 1')
  t.true((await server.reload()).ok)
  client.send('echo 3', 'async 4')
  await client.ping('still here')
  t.deepEqual(client.received, [], 'nothing overtakes the handler')
  openGate('first')
  t.deepEqual(await client.count(4), ['gate first 1', 'echo 2', 'echo 3', 'async 4'])
  await notes.until(({ event, text }) => event === 'end' && text === 'async 4')
  t.deepEqual(notes.story().slice(0, 5), ['open', 'begin gate first 1', 'end gate first 1', 'adopt reload', 'begin echo 2'])
  t.deepEqual(adopts(notes).map(({ from }) => from), [{ worker: begin.worker, reason: 'reload' }])
  notes.check(t)
  t.like(server.stats(), { adoptions: 1, messagesLost: 0, socketOpenCount: 1, socketCloseCount: 0 })
})

serial('reload after reload while a handler is pending: the connection is adopted once, by code that is then the newest', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.send('gate first 1', 'echo 2')
  await notes.until(({ text }) => text === 'gate first 1')
  const threads: number[] = []
  server.on('workerStart', ({ threadId }) => void threads.push(threadId))
  for (let round = 0; round < 3; round += 1) t.true((await server.reload()).ok)
  openGate('first')
  await client.count(2)
  t.is(adopts(notes).length, 1)
  t.true(threads.slice(-2).includes(adopts(notes)[0]?.thread ?? -1), 'a worker of the last reload')
  notes.check(t)
})

serial('an idle connection costs a reload nothing, and is adopted when something happens to it', async (t) => {
  const { server, notes, connect } = await start(t)
  const clients = await Promise.all(Array.from({ length: 4 }, () => connect()))
  const gone = next(server, 'afterReload')
  await server.reload()
  await gone
  t.is(server.stats().adoptions, 0)
  for (const [index, client] of clients.entries()) await client.ask(`echo ${index}`)
  t.is(server.stats().adoptions, 4)
  t.deepEqual(adopts(notes).map(({ from }) => from?.reason), Array.from({ length: 4 }, () => 'reload'))
  notes.check(t)
})

serial('state, uid, groups, topics, subprotocol and handshake survive reload and crash; data does not', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect('/socket?room=7')
  await client.ask('belong ann staff news')
  const before = await show(client)
  t.like(before, { data: { from: 'upgrade' }, state: { value: 'first' }, uid: 'ann', groups: ['staff'], topics: ['news'], protocol: 'lines' })
  await client.ask('state second')
  await server.reload()
  client.received.length = 0
  const { data, ...rest }: Record<string, unknown> = { ...before, state: { value: 'second' } }
  t.deepEqual(data, { from: 'upgrade' })
  t.deepEqual(await show(client), rest, 'all but data, which JSON leaves out')
  const death = next(server, 'workerError')
  client.received.length = 0
  client.send('state third', 'die exit')
  await death
  client.received.length = 0
  t.deepEqual(await show(client), { ...rest, state: { value: 'third' } })
  t.deepEqual(adopts(notes).map(({ from }) => from?.reason), ['reload', 'crash'])
  t.is(server.sendToUid('ann', 'by uid') + server.sendToGroup('staff', 'by group') + server.publish('news', 'by topic'), 3)
  await client.next((text) => text === 'by topic')
  t.deepEqual(client.received.slice(-3), ['by uid', 'by group', 'by topic'])
  notes.check(t)
})

for (const pending of ['crash', 'reload'] as const) {
  serial(`adopt that is pending holds the messages back, also when the next ${pending} comes`, async (t) => {
    const { server, notes, connect } = await start(t)
    const client = await connect()
    await client.ask('slowly adoption')
    await server.reload()
    client.send('echo 1', 'echo 2')
    const adopting = await notes.until(({ event }) => event === 'adopt')
    await client.ping()
    t.deepEqual(client.received, ['slowly adoption'])
    if (pending === 'reload') await server.reload()
    else {
      const others = await onEach(server, notes, connect)
      const death = next(server, 'workerError')
      others.get(adopting.worker)?.send('die exit')
      await death
    }
    openGate('adoption')
    t.deepEqual(await client.count(3), ['slowly adoption', 'echo 1', 'echo 2'])
    t.deepEqual(
      notes.of(adopting.id).filter(({ event }) => event === 'adopt').map(({ from }) => from?.reason),
      pending === 'reload' ? ['reload', 'reload'] : ['reload', 'crash'],
    )
    notes.check(t)
    t.is(server.stats().messagesLost, pending === 'reload' ? 0 : 1, 'only what killed the worker')
  })
}

interface Kind {
  readonly way: string
  readonly reason: 'crash' | 'stuck'
  readonly stuckAfter?: number
}

const kinds: Kind[] = [
  { way: 'throw', reason: 'crash' },
  { way: 'reject', reason: 'crash' },
  { way: 'exit', reason: 'crash' },
  // Since Node.js 22 V8 may abort the whole process before Node can end the thread, and with it the test runner.
  ...(Number(process.versions.node.split('.')[0]) < 22 ? ([{ way: 'oom', reason: 'crash' }] satisfies Kind[]) : []),
  { way: 'loop', reason: 'stuck', stuckAfter: 500 },
  { way: 'wait', reason: 'stuck', stuckAfter: 500 },
]

for (const { way, reason, stuckAfter = 30_000 } of kinds) {
  serial(`a worker that dies by ${way} in a handler: no connection ends, only what was being handled is lost, and the rest goes on in order`, async (t) => {
    const { server, notes, connect } = await start(t, { stuckAfter, resourceLimits: { maxOldGenerationSizeMb: 48 } })
    const clients = await onEach(server, notes, connect)
    const killer = await connect()
    await killer.ask('echo 0')
    const { worker, id } = await notes.until(({ text, event }) => event === 'begin' && text === 'echo 0')
    const victim = clients.get(worker)
    const [bystander] = [...clients].filter(([other]) => other !== worker).map(([, client]) => client)
    if (!victim || !bystander) throw new Error('every worker has a connection')
    await victim.ask('echo before')
    const big = `echo ${'x'.repeat(20_000)}`
    // After a throw in a timer or a rejection the worker may go on for a moment, and would take what is pending by then along.
    const last = way === 'throw' || way === 'reject' ? 'echo last' : 'async last'
    const death = next(server, 'workerError')
    killer.send('echo 1', `die ${way}`, 'echo 2', big, last)
    await notes.until(({ text }) => text === `die ${way}`)
    // Behind what hangs, or in the worker that comes.
    victim.send('echo 1', big, last)
    await Promise.all([killer.ping(), victim.ping(), bystander.ask('echo meanwhile')])
    const [event] = await death
    t.is(event.worker.id, worker)
    for (const client of [killer, victim]) await client.ask('echo after')
    t.deepEqual(killer.received, ['echo 0', 'echo 1', 'echo 2', big, last, 'echo after'])
    t.deepEqual(victim.received, ['echo before', 'echo 1', big, last, 'echo after'])
    // Where the handler has returned by then, its message counts as handled.
    t.is(server.stats().messagesLost, way === 'throw' || way === 'reject' ? 0 : 1)
    const from = { worker, reason }
    t.deepEqual(notes.of(id).filter(({ event }) => event === 'adopt').map((note) => note.from), [from])
    t.deepEqual(adopts(notes).map((note) => note.from), [from, from], 'the bystander stays where it is')
    notes.check(t)
    t.like(server.stats(), { socketOpenCount: 3, socketCloseCount: 0, crashes: 1 })
  })
}

serial('a crash loses the messages whose handlers were pending, counts them, and nothing else', async (t) => {
  const { server, notes, connect } = await start(t, { workers: 1 })
  const clients = await Promise.all(Array.from({ length: 4 }, () => connect()))
  const [killer, ...victims] = clients
  for (const [index, victim] of victims.entries()) victim.send(`gate never ${index}`, 'echo next', 'echo last')
  await Promise.all(victims.map((_, index) => notes.until(({ text }) => text === `gate never ${index}`)))
  killer?.send('die exit', 'echo after')
  await Promise.all(victims.map((victim) => victim.count(2)))
  for (const victim of victims) t.deepEqual(victim.received, ['echo next', 'echo last'])
  t.deepEqual(await killer?.count(1), ['echo after'])
  t.is(server.stats().messagesLost, 4)
  notes.check(t)
})

for (const way of ['loop', 'exit']) {
  serial(`what was answered in one go with the message that kills the worker by ${way} is sent, published messages too`, async (t) => {
    const { server, connect } = await start(t, { workers: 1, stuckAfter: 500 })
    const [blocker, killer, ...others] = await Promise.all(Array.from({ length: 12 }, () => connect()))
    await Promise.all(others.map((other) => other.ask('belong ann staff news')))
    blocker?.send('block 200')
    // The order in which they are read is the reactor's; what is behind the deadly one runs elsewhere.
    for (const [index, other] of others.entries()) other.send(`publish news ${index}`, `echo ${index}`)
    killer?.send(`die ${way}`)
    for (const [index, other] of others.entries()) other.send(`echo again ${index}`)
    for (const [index, other] of others.entries()) {
      // Itself twice, and what every other one has published.
      await other.count(1 + 2 + others.length - 1)
      t.deepEqual(other.received.filter((text) => text.startsWith('echo')), [`echo ${index}`, `echo again ${index}`])
      const expected = others.map((_, from) => `publish news ${from}`).filter((_, from) => from !== index)
      t.deepEqual(other.received.filter((text) => text.startsWith('publish')).sort(), expected.sort())
    }
    t.is(server.stats().messagesLost, 1)
  })
}

serial('several handlers of one connection at once: a crash counts each of them', async (t) => {
  const { server, notes, connect } = await start(t, { workers: 1, app: await concurrent(t, 3) })
  const [killer, victim] = [await connect(), await connect()]
  victim.send('gate never 1', 'gate never 2', 'echo 3', 'gate never 4', 'echo 5')
  await notes.until(({ text }) => text === 'gate never 4')
  const death = next(server, 'workerError')
  killer.send('die exit')
  await death
  t.deepEqual(await victim.count(2), ['echo 3', 'echo 5'])
  t.is(server.stats().messagesLost, 4)
})

serial('a hanging worker: pings are answered at once, and other workers serve', async (t) => {
  const { server, notes, connect } = await start(t, { stuckAfter: 1_500 })
  const clients = await onEach(server, notes, connect)
  const found = new AbortController()
  const death = next(server, 'workerError').then(() => found.abort())
  clients.get(0)?.send('die loop')
  await notes.until(({ text }) => text === 'die loop')
  let pongs = 0
  for (; !found.signal.aborted; pongs += 1) await clients.get(0)?.ping(String(pongs))
  t.true(pongs > 10, `${pongs} pongs while it hung`)
  await death
  await clients.get(0)?.ask('echo after')
  t.is(server.stats().messagesLost, 1)
  notes.check(t)
})

serial('a worker that is replaced hands its connections over with the reason recycle', async (t) => {
  const { server, notes, connect } = await start(t)
  const clients = await onEach(server, notes, connect)
  clients.get(1)?.send('gate kept 1', 'echo 2')
  await notes.until(({ text }) => text === 'gate kept 1')
  await server.stopWorker(1)
  await clients.get(0)?.ask('echo 0')
  openGate('kept')
  t.deepEqual(await clients.get(1)?.count(2), ['gate kept 1', 'echo 2'])
  t.deepEqual(adopts(notes).map(({ from }) => from), [{ worker: 1, reason: 'recycle' }])
  notes.check(t)
})

serial('a handler that overstays is cut off with its worker: its message is lost and counted, its connection goes on', async (t) => {
  const { server, notes, connect } = await start(t, { maxWaitTime: 300 })
  const client = await connect()
  client.send('gate never 1', 'echo 2')
  await notes.until(({ text }) => text === 'gate never 1')
  await server.reload()
  t.deepEqual(await client.count(1), ['echo 2'])
  t.is(server.stats().messagesLost, 1)
  t.is(adopts(notes).length, 1)
})

serial('waitUntil keeps the worker, not its connections', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect('/socket?until=work')
  let isGone = false
  const gone = next(server, 'afterReload').then(() => (isGone = true))
  await server.reload()
  await client.ask('echo 1')
  t.is(adopts(notes).length, 1, 'it is served by the new worker')
  t.false(isGone, 'the old one has work to do')
  openGate('work')
  await notes.until(({ event }) => event === 'until')
  await gone
  t.deepEqual(client.received, ['echo 1'])
  notes.check(t)
})

serial('close comes once, in the worker that has the connection by then: after a reload', async (t) => {
  const { server, notes, connect } = await start(t)
  const [idle, busy] = [await connect(), await connect()]
  busy.send('gate first 1', 'echo 2')
  const { id } = await notes.until(({ text }) => text === 'gate first 1')
  await server.reload()
  const closed = Promise.all([idle.close(4001, 'idle'), busy.close(4002, 'busy')])
  const first = await notes.until(({ event }) => event === 'close')
  t.like(first, { info: { by: 'peer', code: 4001, reason: 'idle', clean: true } })
  t.is(first.data, undefined)
  openGate('first')
  t.like(await notes.until(({ event, ...note }) => event === 'close' && note.id === id), { info: { by: 'peer', code: 4002, reason: 'busy', clean: true } })
  // Of another worker, whose notes come by another way.
  await notes.until(({ event, text }) => event === 'end' && text === 'gate first 1')
  t.deepEqual(notes.story(id), ['open', 'begin gate first 1', 'end gate first 1', 'adopt reload', 'begin echo 2', 'end echo 2', 'close'])
  t.deepEqual(await closed, [{ code: 4001, reason: '' }, { code: 4002, reason: '' }])
  notes.check(t)
  t.like(server.stats(), { socketOpenCount: 2, socketCloseCount: 2, messagesLost: 0 })
})

for (const leave of ['close', 'terminate'] as const) {
  serial(`close comes once when the client leaves (${leave}) while there is no worker at all`, async (t) => {
    const { server, notes, connect } = await start(t, { workers: 1 })
    const [killer, victim] = [await connect(), await connect()]
    await victim.ask('echo 1')
    const successor = next(server, 'workerStart', ({ reason }) => reason === 'crash')
    const death = next(server, 'workerError')
    killer.send('die exit')
    await death
    victim.send('echo 2')
    if (leave === 'close') await victim.close()
    else victim.terminate()
    await successor
    const { id, info } = await notes.until(({ event }) => event === 'close')
    t.like(info, leave === 'close' ? { by: 'peer', code: 1000, clean: true } : { by: 'peer', code: 1006, clean: false })
    t.deepEqual(notes.story(id).slice(-4), ['adopt crash', 'begin echo 2', 'end echo 2', 'close'])
    await killer.ask('echo after')
    notes.check(t)
    t.like(server.stats(), { socketOpenCount: 2, socketCloseCount: 1 })
  })
}

serial('close is told again by nobody when the worker dies right after it', async (t) => {
  const { server, notes, connect } = await start(t, { workers: 1 })
  const [killer, victim] = [await connect(), await connect()]
  await victim.close()
  await notes.until(({ event }) => event === 'close')
  const successor = next(server, 'workerStart', ({ reason }) => reason === 'crash')
  killer.send('die exit')
  await successor
  await killer.ask('echo after')
  t.is(notes.of().filter(({ event }) => event === 'close').length, 1)
  notes.check(t)
})

serial('code without WebSocket handlers closes the connections it takes over with 1012', async (t) => {
  const folder = await AppFolder.create(t)
  const path = await folder.write(`export { default } from ${JSON.stringify(app.href)}`)
  const { server, connect } = await start(t, { app: path })
  const client = await connect()
  await client.ask('echo 1')
  await folder.write(answering('no sockets'))
  t.true((await server.reload()).ok)
  client.send('echo 2')
  t.is((await client.closed).code, 1012)
})

/** The application with so many handlers of a connection at once. */
async function concurrent(t: ExecutionContext, concurrency: number): Promise<string> {
  const folder = await AppFolder.create(t)
  return await folder.write(`import app from ${JSON.stringify(app.href)}
export default { ...app, websocket: { ...app.websocket, concurrency: ${concurrency} } }`)
}
