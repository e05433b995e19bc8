import { EventEmitter, once } from 'node:events'
import test from 'ava'

import { FrameClient, Kind } from '../support/frame-client.ts'
import { next, startServer } from '../support/server.ts'

const CLIENTS = 200
const ROUNDS = 2
const STUCK_AFTER = 1_000
/** Messages that come back before a worker is killed, so that it has its share of the connections. */
const BETWEEN = 300
/** How to die, as `steady-frames.mjs` counts, and whether the message that killed is counted as lost: of the first two the handler has returned. */
const WAYS: readonly (readonly [way: number, isCounted: boolean])[] = [
  [0, false],
  [1, false],
  [2, true],
  [3, true],
  [4, true],
]

/** The same numbers in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

test(`${CLIENTS} TCP connections in the middle of messages, over reload and ways to die, ${ROUNDS} times: nothing is lost but what was being handled`, async (t) => {
  t.timeout(60_000)
  const server = await startServer(t, {
    app: new URL('../fixtures/steady-frames.mjs', import.meta.url),
    listen: [],
    ports: { frames: { protocol: 'tcp', listen: { port: 0 }, framing: { length: 'u32be', strip: true } } },
    workers: 2,
    stuckAfter: STUCK_AFTER,
    reload: { rollback: false },
  })
  const said: { type: string; what?: string; id?: number; by?: string; clean?: boolean }[] = []
  server.on('message', (_from, line) => void said.push(line as (typeof said)[number]))
  const { address } = server.port('frames')
  if (!('port' in address)) throw new Error('the port is no unix socket')
  const heard = new EventEmitter()
  // In pairs: workers adopt in turn, and both are to have both kinds.
  const clients = Array.from({ length: CLIENTS }, (_, number) => new FrameClient(address.port, number % 4 < 2 ? Kind.NOW : Kind.LATER, () => heard.emit('heard')))
  const killer = new FrameClient(address.port, Kind.NOW, () => heard.emit('heard'))
  t.teardown(() => [killer, ...clients].forEach((client) => client.destroy()))
  await Promise.all(clients.map((client) => client.connected))

  const random = numbers(7)
  let turn = 0
  const traffic = setInterval(() => {
    for (let count = 0; count < 4; count += 1) clients[(turn = (turn + 1) % CLIENTS)]!.step(random)
  }, 4)
  t.teardown(() => clearInterval(traffic))

  let deadly = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [way, isCounted] of WAYS) {
      // New code forgives the deaths of the old one, so that no back-off comes into it.
      if (way < 3) t.true((await server.reload()).ok)
      killer.say()
      for (let count = 0; count < BETWEEN; count += 1) await once(heard, 'heard')
      const died = next(server, 'workerError')
      const serves = next(server, 'workerStart', ({ reason }) => reason === 'crash' || reason === 'stuck')
      killer.die(way)
      await died
      await serves
      if (isCounted) deadly += 1
    }
  }
  clearInterval(traffic)
  await Promise.all([killer, ...clients].map((client) => client.finish()))

  t.deepEqual(clients.flatMap((client, number) => client.failures.map((failure) => `client ${number}: ${failure}`)), [])
  t.deepEqual(killer.failures, [])
  const lost = clients.reduce((sum, client) => sum + client.lost, 0)
  const echoes = clients.reduce((sum, client) => sum + client.echoes, 0)
  const stats = server.stats()
  t.log(`${echoes} messages came back, ${lost} were lost with their handlers; ${stats.adoptions} adoptions`)
  t.is(stats.messagesLost, lost + deadly, 'every loss is counted')
  t.true(lost > 0 && echoes > CLIENTS && stats.adoptions > CLIENTS)
  await server.shutdown()
  t.deepEqual(said.filter(({ type }) => type === 'broken'), [])
  const closed = said.filter(({ type }) => type === 'closed')
  t.is(new Set(closed.map(({ id }) => id)).size, CLIENTS + 1)
  t.is(closed.length, CLIENTS + 1, 'close comes once for each')
  t.true(closed.every(({ by, clean }) => by === 'peer' && clean === true))
})
