/**
 * The TCP benchmark: echo of lines, us and the peers, one server at a time, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/tcp/run.mjs [--peers a,b] [--bytes 64] [--connections 64] [--seconds 2] [--rounds 3] [--node22 | --node24] [--json FILE]
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { serverCore } from '../support/cores.mjs'
import { rotated } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { ServerProcess } from '../support/server-process.mjs'
import { measureLoad } from '../websocket/load-case.mjs'
import { loadTable } from '../websocket/report.mjs'
import { compiled, peerNames, resolvePeer } from './peers.mjs'

const { values } = parseArgs({
  options: {
    peers: { type: 'string' },
    bytes: { type: 'string', default: '64' },
    connections: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    node22: { type: 'boolean', default: false },
    node24: { type: 'boolean', default: false },
    json: { type: 'string' }
  }
})
const seconds = wholeNumber('--seconds', values.seconds, 60)
const rounds = wholeNumber('--rounds', values.rounds, 20)
const load = {
  connections: wholeNumber('--connections', values.connections, 1000),
  client: ['--bytes', String(wholeNumber('--bytes', values.bytes, 4096))]
}
const major = values.node24 ? '24' : values.node22 ? '22' : process.versions.node.split('.')[0]
const machine = describeMachine()
const loadClient = compiled(fileURLToPath(new URL('client.c', import.meta.url)))
let peers = (listOf('--peers', values.peers, peerNames) ?? peerNames).map((name) => resolvePeer(name, { major }))
for (const peer of peers) if (peer.missing) console.error(`- ${peer.name} is left out: ${peer.missing}`)
peers = peers.filter((peer) => !peer.missing)
if (peers.length === 0) fail('no peer is left')
if (machine.loadBefore > 0.5) console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): read ratios, not absolutes`)

/** Peer name → round → result. */
const results = new Map(peers.map((peer) => [peer.name, new Map()]))
for (let round = 1; round <= rounds; round++) {
  for (const peer of rotated(peers, round - 1)) {
    const server = await ServerProcess.start(peer, serverCore)
    try {
      const result = await measureLoad(server, load, { loadClient, seconds })
      results.get(peer.name).set(round, result)
      console.error(`  round ${round} ${peer.name}: ${result.cpu.toFixed(2)} µs, ${result.rate.toFixed(0)}/s`)
    } finally {
      await server.stop()
    }
  }
}

const { cpu, cores, memoryGiB, kernel, node, commit, date, loadBefore } = machine
console.log(`# TCP benchmark\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores, ${memoryGiB} GiB · Linux ${kernel}`)
console.log(`Node ${node}, node-net on ${major} · load average before: ${loadBefore.toFixed(2)}`)
console.log(`\n## Echo of lines of ${values.bytes} B, ${load.connections} connections, one on its way on each\n`)
console.log(loadTable(results, results.has('floor') ? 'floor' : peers[0].name, 'line'))
if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, values, results: Object.fromEntries([...results].map(([name, byRound]) => [name, [...byRound.values()]])) }, null, 2)}\n`)
