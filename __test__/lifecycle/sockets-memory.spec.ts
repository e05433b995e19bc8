import test, { type ExecutionContext } from 'ava'

import { SocketProcess } from '../support/socket-process.ts'

// One after the other: both measure the memory of a process, and load the machine.
const { serial } = test

const MIB = 1024 * 1024
const CLIENTS = 20
/** What is echoed before anything is measured, so that heap and code are those of a server that works. */
const WARMUP = 80 * MIB
/** The C library gives what was freed back to the system at once; else it keeps up to tens of MiB for later, at its own discretion. */
const HONEST_MALLOC = { MALLOC_MMAP_THRESHOLD_: '16384' }
/** How much the resident memory of the server may grow by it. */
const GROWTH_MAX = 32 * MIB

/** What `serve-steady-socket.mjs` says. */
type ServerLine = { type: 'listening'; port: number } | { type: 'rss'; bytes: number } | { type: 'collected' }
/** What `torrent-socket.mjs` says. */
type TorrentLine = { type: 'connected' } | { type: 'stalled'; written: number } | { type: 'done'; echoed: number; failures: string[] }

interface Torrent {
  readonly server: SocketProcess<ServerLine>
  readonly clients: SocketProcess<TorrentLine>
  /** Messages that each client sends. */
  readonly messages: number
}

/** A server whose code is warm, and clients that are connected and have sent nothing. */
async function start(t: ExecutionContext, path: string, size: number, total: number): Promise<Torrent> {
  const server = new SocketProcess<ServerLine>(t, 'serve-steady-socket.mjs', ['./flood-socket.mjs', JSON.stringify({ workers: 1, stuckAfter: false })], HONEST_MALLOC)
  const { port } = await server.next('listening', 0)
  // Compiles the handlers, and lets the process have what any traffic needs.
  const warmup = new SocketProcess<TorrentLine>(t, 'torrent-socket.mjs', [port, '/', CLIENTS, WARMUP / CLIENTS / size, size])
  await warmup.next('connected', 0)
  warmup.say('send')
  t.deepEqual((await warmup.ask('read', 'done')).failures, [])
  const messages = total / CLIENTS / size
  const clients = new SocketProcess<TorrentLine>(t, 'torrent-socket.mjs', [port, path, CLIENTS, messages, size])
  await clients.next('connected', 0)
  return { server, clients, messages }
}

/**
 * Resident memory of the server: as it is, and without what handlers have dropped and the engine has not collected yet. Of that
 * there may be as much as the engine likes, some tens of MiB with large messages, whoever reads or does not.
 */
async function resident(server: SocketProcess<ServerLine>): Promise<{ raw: number; held: number }> {
  const raw = (await server.ask('rss', 'rss')).bytes
  await server.ask('collect', 'collected')
  return { raw, held: (await server.ask('rss', 'rss')).bytes }
}

function growth(before: { raw: number; held: number }, after: { raw: number; held: number }): string {
  const mib = (bytes: number): string => (bytes / MIB).toFixed(1)
  return `memory grew from ${mib(before.held)} by ${mib(after.held - before.held)} MiB, with garbage by ${mib(after.raw - before.held)} MiB`
}

// The promise is about 640 MiB. Small messages are more than the kernel takes, too, and take their time.
for (const [total, size] of [
  [640 * MIB, 64 * 1024],
  [320 * MIB, 1024],
] as const) {
  serial(`${CLIENTS} clients send ${total / MIB} MiB in messages of ${size} bytes to an echo and read nothing: memory does not grow, and nothing is lost`, async (t) => {
    t.timeout(60_000)
    const { clients, messages, server } = await start(t, '/', size, total)
    const before = await resident(server)
    const { written } = await clients.ask('send', 'stalled')
    t.true(written < messages * CLIENTS, 'the server stops reading')
    const stalled = await resident(server)
    t.log(`${((written * size) / MIB).toFixed(0)} MiB were taken by the server and the kernel; ${growth(before, stalled)}`)
    t.true(stalled.held - before.held <= GROWTH_MAX, growth(before, stalled))
    const { echoed, failures } = await clients.ask('read', 'done')
    t.deepEqual(failures, [])
    t.is(echoed, messages * CLIENTS)
    t.log(`when all was read: ${growth(before, await resident(server))}`)
  })
}

serial('a flood into handlers that never settle is bounded, too', async (t) => {
  const { clients, messages, server } = await start(t, '/deaf', 16 * 1024, 640 * MIB)
  const before = await resident(server)
  const { written } = await clients.ask('send', 'stalled')
  const stalled = await resident(server)
  t.log(growth(before, stalled))
  t.true(written < messages * CLIENTS)
  t.true(stalled.held - before.held <= GROWTH_MAX, growth(before, stalled))
})
