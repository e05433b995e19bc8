/** UDP ports of a server with worker threads, used by ordinary clients. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type Config, createServer, defineUdp, serve, type Server, type UdpPeer, type UdpPortSpec } from 'sluice'

import { PacketClient } from '../support/packet-client.ts'
import { next, startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/packets.mjs', import.meta.url))
const run = promisify(execFile)

function start(t: ExecutionContext, udp: Partial<UdpPortSpec> = {}, config: Config = {}): Promise<Server> {
  return startServer(t, { app, workers: 1, ports: { udp: { protocol: 'udp', listen: { port: 0 }, ...udp } }, ...config })
}

const numberOf = (server: Server): number => (server.port('udp').address as { port: number }).port

/** Waits for figures; each look is a turn of the event loop. */
async function until(server: Server, isSo: (stats: ReturnType<Server['stats']>) => boolean): Promise<void> {
  const end = Date.now() + 20_000
  while (!isSo(server.stats())) {
    if (Date.now() > end) throw new Error(`waited 20 s: ${JSON.stringify(server.stats())}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('a packet comes to the handler with its sender, and the reply comes back from the port', async (t) => {
  const server = await start(t)
  const client = await PacketClient.open(t, server, 'udp')
  const before = Date.now()
  const { receivedAt, ...who } = JSON.parse(await client.ask('who')) as UdpPeer & { worker: number }
  t.deepEqual(who, { worker: 0, address: '127.0.0.1', port: client.port, local: { address: '127.0.0.1', port: numberOf(server) } })
  // The core follows its start and the monotonic clock.
  t.true(receivedAt >= before - 1000 && receivedAt <= Date.now() + 1000)
  for (const data of [Buffer.alloc(0), Buffer.from([0, 255, 128]), Buffer.alloc(100, 1), Buffer.alloc(65_507, 7)]) {
    client.send(data)
    const { data: echo, from } = await client.next()
    t.deepEqual(echo, data)
    t.is(from.port, numberOf(server))
  }
  t.is(await client.ask('large'), 'false')
  t.is(await client.ask('send'), 'sent')
  t.is(server.port('udp').protocol, 'udp')
  t.is(server.port('udp').url, `udp://127.0.0.1:${numberOf(server)}`)
  t.like(server.stats(), { packetsIn: 7, packetsOut: 7, packetsLost: 0, rejected: { packets: 0, packetSends: 0 } })
})

test('IPv6 and both families at once', async (t) => {
  const server = await start(t, { listen: { host: '::', port: 0 } })
  const six = await PacketClient.open(t, server, 'udp', '::1')
  t.like(JSON.parse(await six.ask('who')), { address: '::1', port: six.port, local: { address: '::1', port: numberOf(server) } })
  const four = await PacketClient.open(t, server, 'udp')
  t.like(JSON.parse(await four.ask('who', '127.0.0.2')), { address: '127.0.0.1', local: { address: '127.0.0.2' } })
  t.true(server.sendTo('udp', '::1', six.port, 'to six'))
  t.is(await six.text(), 'to six')
  t.true(server.sendTo('udp', '127.0.0.1', four.port, 'to four'))
  t.is(await four.text(), 'to four')
})

test('the master sends packets, too, and says when it cannot', async (t) => {
  const server = await start(t)
  const client = await PacketClient.open(t, server, 'udp')
  t.true(server.sendTo('udp', '127.0.0.1', client.port, Uint8Array.of(1, 2)))
  t.deepEqual((await client.next()).data, Buffer.from([1, 2]))
  t.false(server.sendTo('udp', '127.0.0.1', client.port, new Uint8Array(65_508)))
  t.false(server.sendTo('main', '127.0.0.1', client.port, 'a'))
  t.false(server.sendTo('nothing', '127.0.0.1', client.port, 'a'))
  t.false(server.sendTo('udp', '::1', client.port, 'a'))
  t.false(server.sendTo('udp', 'localhost', client.port, 'a'))
})

test('a multicast packet comes to a port that has joined its group', async (t) => {
  const group = '239.255.52.92'
  const server = await start(t, { listen: { host: '0.0.0.0', port: 0 }, multicast: [`${group}%127.0.0.1`] })
  const client = await PacketClient.open(t, server, 'udp')
  client.socket.setMulticastInterface('127.0.0.1')
  t.like(JSON.parse(await client.ask('who', group)), { address: '127.0.0.1', local: { address: group } })
})

test('a unix datagram socket takes packets and answers those who have a name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-udp-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const [path, own] = [join(folder, 'udp.sock'), join(folder, 'own.sock')]
  const server = await start(t, { listen: { path, mode: 0o600 } })
  t.deepEqual(server.port('udp').address, { path })
  // Node has no datagrams of unix sockets.
  const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.settimeout(20)
s.bind(sys.argv[2]); s.sendto(b'who', sys.argv[1]); data, sender = s.recvfrom(65536)
assert sender == sys.argv[1], sender
print(data.decode())`
  const { stdout } = await run('python3', ['-c', script, path, own])
  t.like(JSON.parse(stdout), { address: own, port: 0, local: { address: path, port: 0 } })
})

test('packets go to all workers in turn, and with `ip` always to the same', async (t) => {
  const workersOf = async (server: Server, packets: number): Promise<number[]> => {
    const client = await PacketClient.open(t, server, 'udp')
    const workers: number[] = []
    for (let count = 0; count < packets; count++) workers.push((JSON.parse(await client.ask('who')) as { worker: number }).worker)
    return workers
  }
  // The reactors learn of the second worker a moment after the start; what comes before that goes to the first.
  const settled = async (server: Server): Promise<number[]> => (await workersOf(server, 16)).slice(8)
  const inTurn = await settled(await start(t, {}, { workers: 2 }))
  t.is(inTurn.filter((worker) => worker === 0).length, 4)
  t.is(inTurn.filter((worker) => worker === 1).length, 4)
  t.is(new Set(await settled(await start(t, { dispatch: 'ip' }, { workers: 2 }))).size, 1)
})

test('what a handler throws or rejects with is reported, and the next packet is handled', async (t) => {
  const errors: [string, string][] = []
  const inline = await serve(
    {
      ports: {
        udp: defineUdp({
          packet(data, peer) {
            if (data[0] === 1) throw new Error('thrown')
            if (data[0] === 2) return Promise.reject(new Error('rejected'))
            return void peer.reply(data)
          },
        }),
      },
    },
    { port: 0, ports: { udp: { protocol: 'udp', listen: { port: 0 } } }, stateDir: false },
  )
  t.teardown(() => inline.shutdown({ timeout: 500 }))
  inline.on('error', (error, { phase }) => void errors.push([phase, (error as Error).message]))
  const client = await PacketClient.open(t, inline, 'udp')
  client.send(Uint8Array.of(1))
  client.send(Uint8Array.of(2))
  t.is(await client.ask('on'), 'on')
  t.deepEqual(errors, [['udp', 'thrown'], ['udp', 'rejected']])
})

test('as many handlers are pending as `concurrency` says, and the others wait in the core', async (t) => {
  const server = await start(t, { queue: 65_536 })
  const client = await PacketClient.open(t, server, 'udp')
  const sent = Array.from({ length: 20 }, (_, index) => `hold ${index}`)
  for (const packet of sent) client.send(packet)
  await until(server, (stats) => stats.packetsIn === 20)
  // While four of them run, more than the queue holds come and are dropped.
  const large = Buffer.alloc(10_000, 'x')
  for (let count = 0; count < 10; count++) {
    client.send(large)
    await until(server, (stats) => stats.packetsIn === 21 + count)
  }
  t.true(server.stats().rejected['packets']! > 0)
  const held = new Set<string>()
  const echoes: string[] = []
  while (held.size + echoes.length < 20 + 10 - server.stats().rejected['packets']!) {
    await fetch(server.url)
    const text = await client.text()
    if (text.startsWith('hold')) held.add(text)
    else echoes.push(text)
  }
  t.deepEqual([...held].sort(), [...sent].sort())
  t.true(echoes.every((echo) => echo.length === 10_000))
})

test('a reload and a crash lose no packet that no handler has begun', async (t) => {
  const server = await start(t)
  const client = await PacketClient.open(t, server, 'udp')
  const seen = new Set<string>()
  // Four are begun, the rest waits.
  for (let index = 0; index < 30; index++) client.send(`hold ${index}`)
  await until(server, (stats) => stats.packetsIn === 30)
  const reloaded = server.reload()
  while (seen.size < 30) {
    await fetch(server.url)
    seen.add(await client.text())
  }
  t.true((await reloaded).ok)
  t.is(server.stats().packetsLost, 0)

  for (let index = 0; index < 3; index++) client.send(`hold ${index}`)
  await until(server, (stats) => stats.packetsIn === 33)
  const died = next(server, 'workerError')
  client.send('die')
  for (let index = 0; index < 10; index++) client.send(`after ${index}`)
  await died
  const after = new Set<string>()
  while (after.size < 10) after.add(await client.text())
  t.deepEqual([...after].sort(), Array.from({ length: 10 }, (_, index) => `after ${index}`))
  // The deadly one, and those that were pending.
  t.is(server.stats().packetsLost, 4)
})

test('what a UDP port cannot be is refused with its path', async (t) => {
  const refused = (udp: object, message: RegExp) =>
    t.throwsAsync(createServer({ app, listen: { port: 0 }, stateDir: false, ports: { udp: { protocol: 'udp', listen: { port: 0 }, ...udp } as never } }), { code: 'ERR_SLUICE_INVALID_OPTION', message })
  await refused({ dispatch: 'connection' }, /ports\.udp\.dispatch must be/)
  await refused({ multicast: ['192.0.2.1'] }, /ports\.udp\.multicast\[0\] must be a multicast address/)
  await refused({ tcp: {} }, /unknown option `ports\.udp\.tcp`/)
  await refused({ queue: 1 }, /ports\.udp\.queue must be/)
  const server = await start(t)
  await t.throwsAsync(
    createServer({ app, workers: 1, listen: { port: 0 }, stateDir: false, ports: { udp: { protocol: 'udp', listen: { port: numberOf(server) } } } }),
    { code: 'ERR_SLUICE_LISTEN', message: /udp/ },
  )
})
