/**
 * The UDP benchmark: us and the peers, one server at a time, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/udp/run.mjs [--peers a,b] [--cases a,b] [--seconds 2] [--rounds 3] [--json FILE]
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { clientCore, serverCore } from '../support/cores.mjs'
import { fixed, median, rotated, table, threadColumn } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { ServerProcess } from '../support/server-process.mjs'
import { threadTimes, timeBetween } from '../support/threads.mjs'
import { cases } from './cases.mjs'
import { compiled } from './compiled.mjs'
import { peerNames, resolvePeer } from './peers.mjs'

const run = promisify(execFile)
const { values } = parseArgs({
  options: { peers: { type: 'string' }, cases: { type: 'string' }, seconds: { type: 'string', default: '2' }, rounds: { type: 'string', default: '3' }, json: { type: 'string' } }
})
const seconds = wholeNumber('--seconds', values.seconds, 60)
const rounds = wholeNumber('--rounds', values.rounds, 20)
const chosen = listOf('--cases', values.cases, cases.map((c) => c.name)) ?? cases.map((c) => c.name)
const client = compiled(fileURLToPath(new URL('client.c', import.meta.url)))
if (client.missing) fail(client.missing)
const machine = describeMachine()
const peers = (listOf('--peers', values.peers, peerNames) ?? peerNames).map(resolvePeer).filter((peer) => {
  if (peer.missing) console.error(`- ${peer.name} is left out: ${peer.missing}`)
  return !peer.missing
})
if (peers.length === 0) fail('no peer is left')

/** Case name → peer name → one result per round. */
const results = new Map()
for (let round = 1; round <= rounds; round++) {
  for (const c of cases.filter(({ name }) => chosen.includes(name))) {
    for (const peer of rotated(peers, round - 1)) {
      const result = await measure(peer, c)
      const byPeer = results.get(c.name) ?? new Map()
      results.set(c.name, byPeer.set(peer.name, [...(byPeer.get(peer.name) ?? []), result]))
      console.error(`  round ${round} ${c.name} ${peer.name}: ${result.cpu.toFixed(2)} µs, ${result.rate.toFixed(0)}/s, ${result.lost} lost`)
    }
  }
}
print()
if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, results: Object.fromEntries([...results].map(([name, byPeer]) => [name, Object.fromEntries(byPeer)])) }, null, 2)}\n`)

/** One case against a server of its own, after a second of the same load. */
async function measure(peer, c) {
  const server = await ServerProcess.start(peer, serverCore)
  try {
    await load(server, c, 1)
    const before = threadTimes(server.pid)
    const { packets, micros, lost } = await load(server, c, seconds)
    const spent = timeBetween(server.pid, before, threadTimes(server.pid))
    const perPacket = (ns) => ns / 1000 / Math.max(1, packets)
    return {
      rate: packets / (micros / 1e6),
      lost,
      cpu: perPacket([...spent.values()].reduce((sum, ns) => sum + ns, 0)),
      threads: Object.fromEntries([...spent].map(([name, ns]) => [name, perPacket(ns)]))
    }
  } finally {
    await server.stop()
  }
}

async function load(server, c, length) {
  const { stdout } = await run('taskset', ['-c', String(clientCore), ...client.command, server.port, c.peers, c.window, c.bytes, length].map(String))
  const [packets, micros, lost] = stdout.split(' ').map(Number)
  return { packets, micros, lost }
}

function print() {
  const { cpu, cores, kernel, node, commit, date, loadBefore } = machine
  console.log(`# UDP benchmark\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores · Linux ${kernel} · Node ${node} · load average before: ${loadBefore.toFixed(2)}`)
  for (const c of cases) {
    const byPeer = results.get(c.name)
    if (byPeer === undefined) continue
    const floor = byPeer.get('floor')
    const rows = peers.map(({ name }) => {
      const all = byPeer.get(name)
      const middle = median(all.map(({ cpu }) => cpu))
      const shown = all.find(({ cpu }) => cpu === middle)
      const lost = all.reduce((sum, { lost }) => sum + lost, 0)
      const ratio = floor ? `${fixed(median(all.map(({ cpu }, round) => cpu / floor[round].cpu)))}×` : '–'
      return [name, fixed(shown.cpu), ratio, threadColumn(shown), fixed(shown.rate, 0), String(lost)]
    })
    console.log(`\n## ${c.title}\n\n${table(['peer', 'CPU µs/packet', '÷ floor', 'by thread', 'packets/s', 'lost'], rows)}`)
  }
}
