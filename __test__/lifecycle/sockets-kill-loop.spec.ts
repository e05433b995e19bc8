import test from 'ava'
import type { ServerStats } from 'sluice'

import { SocketClient } from '../support/socket-client.ts'
import { SocketProcess } from '../support/socket-process.ts'

/** Milliseconds; also the time that a full heap of 32 MiB may take to kill its worker. */
const STUCK_AFTER = 1_500
const ROUNDS = 3
const CLIENTS = 1_000
/** Between two messages of a client, in milliseconds: a thousand messages a second in all, and five thousand published ones. */
const INTERVAL = 1_000
// Since Node.js 22 V8 may abort the whole process before Node can end a thread whose heap is full (README, honest limits).
const canFill = Number(process.versions.node.split('.')[0]) < 22
/** How to die, and whether the message that killed is counted: of the first two, the handler has returned by then. */
const WAYS: readonly (readonly [way: string, isCounted: boolean])[] = [
  ['throw', false],
  ['reject', false],
  ['exit', true],
  ...(canFill ? [['oom', true] as const] : []),
  ['loop', true],
  ['wait', true],
]

/** What `serve-steady-socket.mjs` says. */
type ServerLine =
  | { type: 'listening'; port: number; at: number }
  | { type: 'dying'; way: string; at: number }
  | { type: 'died'; id: number; reason: string; at: number }
  | { type: 'serving'; id: number; reason: string; at: number }
  | { type: 'reloaded'; ok: boolean; at: number }
  | { type: 'quiet'; ticks: number }
  | { type: 'stats'; stats: ServerStats }
  | { type: 'closed'; number: number }
  | { type: 'broken'; what: string }

/** What `crowd-socket.mjs` says. */
type CrowdLine =
  | { type: 'connected'; at: number }
  | {
      type: 'report'
      failures: { at: number; number: number; what: string }[]
      lost: { now: number; later: number }
      totals: { sent: number; echoes: number; ticks: number; pongs: number; slowestEcho: number; slowestPong: number }
    }

/** What the server said about itself within two seconds of a moment, each with its distance to it. */
function around(lines: readonly ServerLine[], at: number): string {
  const near = lines.filter((line) => 'at' in line && Math.abs(line.at - at) < 2_000)
  return near.map((line) => ('at' in line ? `${line.at - at} ms ${line.type} ${'way' in line ? line.way : 'reason' in line ? line.reason : ''}` : '')).join(', ')
}

test(`${CLIENTS} WebSockets over reload and every way to die, ${ROUNDS} times, with traffic both ways: nothing is lost but what was being handled`, async (t) => {
  t.timeout(60_000)
  const config = { workers: 2, stuckAfter: STUCK_AFTER, resourceLimits: { maxOldGenerationSizeMb: 32 }, reload: { rollback: false } }
  const server = new SocketProcess<ServerLine>(t, 'serve-steady-socket.mjs', ['./steady-socket.mjs', JSON.stringify(config)])
  const { port } = await server.next('listening', 0)
  const crowd = new SocketProcess<CrowdLine>(t, 'crowd-socket.mjs', [port, CLIENTS, INTERVAL])
  await crowd.next('connected', 0)
  const killer = await SocketClient.connect(t, port, `/?number=${CLIENTS}`)

  let deadly = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [way, isCounted] of WAYS) {
      const hangs = way === 'loop' || way === 'wait'
      // New code forgives the deaths of the old one, so that no back-off comes into what is measured. Hanging knows none.
      if (!hangs) t.true((await server.ask('reload', 'reloaded')).ok)
      const from = server.said
      killer.send(`die ${way}`)
      await server.next('dying', from)
      await server.next('serving', from)
      await server.next('died', from)
      await killer.ask(`now ${way} ${round}`)
      if (isCounted) deadly += 1
    }
  }

  const { ticks } = await server.ask('quiet', 'quiet')
  const { failures, lost, totals } = await crowd.ask(String(ticks), 'report')
  const { stats } = await server.ask('stats', 'stats')
  t.log(`${totals.sent} messages came back, the slowest after ${totals.slowestEcho} ms; ${totals.ticks} were published; ${totals.pongs} pongs, the slowest after ${totals.slowestPong} ms`)
  t.log(`${stats.adoptions} adoptions; ${lost.later} messages with their handlers, and ${deadly} deadly ones of which ${stats.messagesLost} are counted`)
  t.deepEqual(failures.map(({ at, number, what }) => `client ${number}: ${what} (${around(server.lines, at)})`), [])
  t.is(lost.now, 0, 'a handler that does not wait loses nothing')
  t.is(stats.messagesLost, lost.later + deadly, 'every loss is counted')
  t.is(totals.echoes, totals.sent - lost.later)
  t.true(totals.pongs > 0)
  // Echoes waited for workers that hung; how long anything takes besides depends on the machine.
  t.true(totals.slowestEcho >= STUCK_AFTER && totals.slowestPong < totals.slowestEcho, 'pongs do not wait for workers')
  t.like(stats, { socketOpenCount: CLIENTS + 1, socketCloseCount: CLIENTS, messagesDropped: 0 })

  const broken = server.lines.flatMap((line) => (line.type === 'broken' ? [line.what] : []))
  t.deepEqual(broken, [])
  t.is(await server.stop(), 'exit code 0')
  const closed = server.lines.flatMap((line) => (line.type === 'closed' ? [line.number] : [])).sort((a, b) => a - b)
  t.deepEqual(closed, Array.from({ length: CLIENTS + 1 }, (_, number) => number), 'close comes once for each')
})
