/** TCP ports through the built package, with ordinary sockets as clients. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { LineClient } from '../support/line-client.ts'
import { Notes, openGate } from '../support/socket-notes.ts'
import { next, startServer } from '../support/server.ts'

const { serial } = test
const app = new URL('../fixtures/line.mjs', import.meta.url)
const listen = { port: 0 }
const ports: Config['ports'] = {
  line: { protocol: 'tcp', listen, framing: 'lines', maxMessage: 1000 },
  eof: { protocol: 'tcp', listen, framing: { eof: '\r\n' } },
  length: { protocol: 'tcp', listen, framing: { length: 'u16be', strip: true }, limits: { message: 100_000 } },
  gated: { protocol: 'tcp', listen, framing: 'lines' },
  refusing: { protocol: 'tcp', listen },
  both: { protocol: 'tcp', listen, framing: { eof: ';', keep: false } },
}

async function start(t: ExecutionContext, config: Partial<Config> = {}): Promise<{ server: Server; notes: Notes; connect(port?: string): Promise<LineClient> }> {
  const server = await startServer(t, { app, workers: 1, ports, reload: { rollback: false }, ...config })
  return { server, notes: new Notes(server), connect: (port) => LineClient.connect(t, server, port) }
}

/** What a connection is to its worker. */
async function show(client: LineClient): Promise<{ id: number } & Record<string, unknown>> {
  return JSON.parse(await client.ask('show')) as { id: number }
}

serial('lines come one by one, however they are cut, and go back', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.socket.write('echo 1\r\necho 2\nec')
  t.deepEqual(await client.lines(2), ['echo 1', 'echo 2'])
  client.socket.write('ho 3\n')
  t.is(await client.line(), 'echo 3')
  t.is(server.port('line').protocol, 'tcp')
  t.is(server.port('line').connections.size, 1)
  const { id, ...seen } = await show(client)
  t.deepEqual(seen, { data: { from: 'connect' }, groups: [], kind: 'tcp', port: 'line', isMine: true })
  t.deepEqual([...server.port('line').connections], [id])
  t.like(server.getConnection(id), { id, kind: 'tcp', state: 'open', port: 'line', topics: [] })
  t.true(server.exists(id))
  t.false(server.isEstablished(id), 'that is for WebSockets')
  client.socket.end()
  t.is(await client.rest(), '')
  const { info } = await notes.until(({ event }) => event === 'close')
  t.deepEqual(info, { by: 'peer', clean: true, code: 1000, reason: '' })
  notes.check(t)
  t.is(server.connections.size, 0)
})

serial('the session of the tutorial: greeting by telnet, quit with its mark', async (t) => {
  const { connect } = await start(t)
  const client = await connect('eof')
  client.socket.write('hello\r\n')
  t.is(await client.line(), 'LaravelS: hello\r')
  client.socket.write('quit\r\n')
  t.is(await client.rest(), '')
})

serial('messages of any length come whole', async (t) => {
  const { connect } = await start(t)
  const client = await connect('length')
  for (const length of [0, 1, 64, 65, 5000, 60_000]) {
    const message = Buffer.alloc(2 + length, 7)
    message.writeUInt16BE(length)
    client.socket.write(message)
    const expected = JSON.stringify(Array.from({ length }, () => 7))
    t.is(await client.text(expected.length), expected)
  }
})

serial('data waits for connect, and does not come when connect refuses', async (t) => {
  const { server, connect } = await start(t)
  const client = await connect('gated')
  client.send('early')
  t.is(await client.line(), 'who?')
  openGate('door')
  t.deepEqual(await client.lines(2), ['in', 'early'])
  const failed = next(server, 'error')
  const refused = await connect('refusing')
  refused.send('let me in')
  t.is(await refused.rest(), '')
  const [error, source] = await failed
  t.like(error, { message: 'not you' })
  t.like(source, { phase: 'tcp' })
})

serial('handlers of one connection run one after the other, unless concurrency says otherwise', async (t) => {
  const { notes, connect } = await start(t)
  const client = await connect()
  client.send('gate a', 'echo 2')
  await notes.until(({ text }) => text === 'gate a')
  openGate('a')
  t.deepEqual(await client.lines(2), ['gate a', 'echo 2'])
  notes.check(t)
  const both = await connect('both')
  both.socket.write('x;y;z;')
  for (const [begun, opened] of [['y', 'y'], ['z', 'z'], ['x', 'x']] as const) {
    await notes.until(({ text }) => text === begun)
    t.is(notes.of().some(({ text }) => text === 'z'), begun !== 'y', 'two at once, and no third')
    openGate(opened)
    t.is(await both.text(1), opened)
  }
})

serial('connections are reached by id, uid, group and port, from any thread', async (t) => {
  const { server, notes, connect } = await start(t, { workers: 2 })
  const [a, b] = [await connect(), await connect()]
  await a.ask('belong ann staff')
  const { id } = await show(a)
  t.like(server.getConnection(id), { uid: 'ann', groups: ['staff'] })
  t.is(server.send(id, 'from main\n'), 10)
  t.is(await a.line(), 'from main')
  for (const [act, answer] of [[`send ${id} 1`, '1'], ['group staff 2', '2'], ['uid ann 3', '3']] as const) {
    b.send(act)
    t.is(await a.line(), answer)
  }
  b.send('all 4')
  t.deepEqual([await a.line(), await b.line()], ['4', '4'])
  t.is(server.port('line').broadcast('5\n', { except: [id] }), 1)
  t.is(await b.line(), '5')
  t.is(server.broadcast('6\n'), 0, 'for WebSockets')
  b.send('kick ann')
  t.is(await a.rest(), '')
  const { info } = await notes.until(({ event }) => event === 'close')
  t.deepEqual(info, { by: 'server', clean: true, code: 4000, reason: 'out' })
  t.is(server.send(id, 'gone'), 0)
  t.false(server.close(id))
  t.false(server.reset(id))
})

serial('close sends what was sent before, reset does not', async (t) => {
  const { server, notes, connect } = await start(t)
  const polite = await connect()
  polite.send('quit')
  t.is(await polite.rest(), 'bye\n')
  t.deepEqual((await notes.until(({ event }) => event === 'close')).info, { by: 'server', clean: true, code: 1000, reason: '' })
  for (const act of ['own', 'other']) {
    const client = await connect()
    const { id } = await show(client)
    if (act === 'own') client.send('cut')
    else t.true(server.reset(id))
    t.is(await client.broken(), 'ECONNRESET')
    t.like((await notes.until(({ event, id: of }) => event === 'close' && of === id)).info, { by: 'server', clean: false })
  }
})

serial('what breaks the framing closes the connection with the reason', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.socket.write('x'.repeat(1002))
  t.is(await client.rest(), '')
  t.deepEqual((await notes.until(({ event }) => event === 'close')).info, { by: 'error', clean: false, code: 1009, reason: 'message too large' })
  t.is(server.stats().rejected['frames'], 1)
})

serial('a handler that throws is reported, and its connection closed', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  const failed = next(server, 'error')
  client.send('throw')
  t.is(await client.rest(), '')
  t.like((await failed)[0], { message: 'thrown by a handler' })
  t.like((await notes.until(({ event }) => event === 'close')).info, { by: 'server', code: 1011 })
})

serial('a sender waits for a peer that does not read, and pause holds messages back', async (t) => {
  // The mark is low: whatever the kernel leaves of the last piece passes it.
  const { notes, connect } = await start(t, { limits: { sendBuffer: 200_000, highWaterMark: 2, lowWaterMark: 1 } })
  const client = await connect()
  client.socket.pause()
  // More than the kernel keeps for both ends of a connection.
  client.send('flood 400')
  await notes.until(({ event }) => (event as string) === 'high')
  client.socket.resume()
  await client.text(40_000_000)
  t.deepEqual(await client.lines(2), ['', 'waited true'])
  await notes.until(({ event }) => (event as string) === 'drain')
  client.send('hold door', 'echo after')
  await notes.until(({ text }) => text === 'hold door')
  t.deepEqual(notes.story().filter((event) => event.endsWith('echo after')), [])
  openGate('door')
  t.is(await client.line(), 'echo after')
})

serial('idle connections are closed, protected ones are not', async (t) => {
  const { notes, connect } = await start(t, { heartbeat: { idle: 400 } })
  const [guarded, idle] = [await connect(), await connect()]
  await guarded.ask('protect')
  t.is(await idle.rest(), '')
  t.deepEqual((await notes.until(({ event }) => event === 'close')).info, { by: 'idle', clean: true, code: 1001, reason: 'idle' })
  t.is(await guarded.ask('echo still here'), 'echo still here')
})

serial('a reload keeps connections with state, uid and half a message; data is the worker\'s own', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  await client.ask('state 7')
  await client.ask('belong ann staff')
  const { id } = await show(client)
  client.socket.write('echo o')
  t.true((await server.reload()).ok)
  t.is(server.stats().adoptions, 0, 'an idle connection costs nothing')
  client.socket.write('ne\n')
  t.is(await client.line(), 'echo one')
  t.deepEqual(await show(client), { id, state: { value: '7' }, groups: ['staff'], kind: 'tcp', port: 'line', uid: 'ann', isMine: true })
  t.deepEqual(notes.of(id).filter(({ event }) => event === 'adopt').map(({ from }) => from?.reason), ['reload'])
  notes.check(t)
})

for (const way of ['throw', 'exit', 'loop'] as const) {
  serial(`a worker that dies by ${way} takes no connection along, and no message that it had not begun`, async (t) => {
    const { server, notes, connect } = await start(t, { workers: 2, stuckAfter: 1000 })
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect()))
    for (const [index, client] of clients.entries()) await client.ask(`state ${index}`)
    const died = next(server, 'workerError')
    for (const client of clients.slice(1)) client.socket.write('echo ha')
    clients[0]!.send(`die ${way}`, 'echo behind')
    for (const client of clients.slice(1)) client.socket.write('lf\necho whole\n')
    await died
    t.is(await clients[0]!.line(), 'echo behind')
    for (const client of clients.slice(1)) t.deepEqual(await client.lines(2), ['echo half', 'echo whole'])
    for (const [index, client] of clients.entries()) t.like(await show(client), { state: { value: String(index) } })
    notes.check(t)
    t.is(server.stats().connections, 6)
  })
}

serial('with dispatch by uid the connections of a user come to one worker, and move there when they are bound', async (t) => {
  const { server, notes, connect } = await start(t, { workers: 2, ports: { ...ports, line: { protocol: 'tcp', listen, framing: 'lines', dispatch: 'uid' } } })
  const owners = new Map<string, Set<number>>()
  for (const uid of ['ann', 'bob', 'cy', 'dan', 'eve', 'flo']) {
    for (let count = 0; count < 3; count += 1) {
      const client = await connect()
      await client.ask(`belong ${uid} all`)
      await client.ask('echo now')
      const { id } = await show(client)
      const { worker } = notes.of(id).findLast(({ event }) => event === 'begin')!
      owners.set(uid, (owners.get(uid) ?? new Set()).add(worker))
    }
  }
  for (const [uid, workers] of owners) t.is(workers.size, 1, uid)
  const reasons = notes.of().filter(({ event }) => event === 'adopt').map(({ from }) => from?.reason)
  t.true(reasons.length > 0 && reasons.every((reason) => reason === 'rebalance'))
  notes.check(t)
  t.is(server.sendToGroup('all', ''), 18)
})

serial('a TCP port may be a unix socket', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-tcp-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'line.sock')
  const { server, connect } = await start(t, { ports: { ...ports, line: { protocol: 'tcp', listen: { path }, framing: 'lines' } } })
  const client = await connect()
  t.is(await client.ask('echo here'), 'echo here')
  t.like(server.getConnection((await show(client)).id), { kind: 'tcp', family: 'unix' })
  client.send('quit')
  t.is(await client.rest(), 'bye\n')
})

serial('a stop answers what has come, and closes', async (t) => {
  const { server, notes, connect } = await start(t)
  const client = await connect()
  client.send('gate last')
  await notes.until(({ text }) => text === 'gate last')
  const stopped = server.shutdown({ timeout: 10_000 })
  openGate('last')
  t.is(await client.rest(), 'gate last\n')
  await stopped
  t.deepEqual((await notes.until(({ event }) => event === 'close')).info, { by: 'shutdown', clean: true, code: 1001, reason: '' })
  notes.check(t)
})
