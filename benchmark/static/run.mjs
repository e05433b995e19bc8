/**
 * The benchmark of static files: us and the peers, one server at a time, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/static/run.mjs [--peers a,b] [--cases a,b] [--seconds 2] [--rounds 3] [--json FILE]
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { listOf, wholeNumber } from '../support/arguments.mjs'
import { serverCore } from '../support/cores.mjs'
import { rotated } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { ServerProcess } from '../support/server-process.mjs'
import { measureLoad } from '../http/load-case.mjs'
import { loadTable } from '../http/report.mjs'
import { requireTools } from '../http/wrk.mjs'
import { makeFiles } from './files.mjs'
import { peerNames, resolvePeer } from './peers.mjs'

/** 64 connections, server and client on different cores. */
const cases = [
  { name: '4k', title: 'GET a file of 4 KiB, 64 connections, pinned', path: '/4k.bin' },
  { name: '64k', title: 'GET a file of 64 KiB, 64 connections, pinned', path: '/64k.bin' },
  { name: '1m', title: 'GET a file of 1 MiB, 64 connections, pinned', path: '/1m.bin' }
].map((c) => ({ ...c, connections: 64, pinned: true, load: 'plain' }))

const options = readOptions()
await requireTools()
const machine = describeMachine()
const root = makeFiles()
const peers = options.peers.map((name) => resolvePeer(name, root)).filter(isThere)
const chosen = cases.filter((c) => options.cases?.includes(c.name) ?? true)
const results = new Map(chosen.map((c) => [c.name, new Map(peers.map((peer) => [peer.name, []]))]))

for (let round = 1; round <= options.rounds; round++) {
  for (const peer of rotated(peers, round - 1)) {
    const server = await ServerProcess.start(peer, serverCore)
    try {
      for (const load of chosen) {
        const result = await measureLoad(server, load, options.seconds)
        results.get(load.name).get(peer.name).push(result)
        console.error(`  round ${round} ${load.name} ${peer.name}: ${result.cpu.toFixed(2)} µs, ${result.rps.toFixed(0)}/s, ${result.errors} errors`)
      }
    } finally {
      await server.stop()
    }
  }
}

const { cpu, cores, kernel, node, commit, date, loadBefore } = machine
console.log(`# Static files\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores · Linux ${kernel} · Node ${node} · load average before: ${loadBefore.toFixed(2)}`)
for (const c of chosen) console.log(`\n## ${c.title}\n\n${loadTable(results.get(c.name))}`)
if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, options, results: Object.fromEntries([...results].map(([name, byPeer]) => [name, Object.fromEntries(byPeer)])) }, null, 2)}\n`)

function readOptions() {
  const { values } = parseArgs({
    options: {
      peers: { type: 'string' },
      cases: { type: 'string' },
      seconds: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '3' },
      json: { type: 'string' }
    }
  })
  return {
    ...values,
    peers: listOf('--peers', values.peers, peerNames) ?? peerNames,
    cases: listOf('--cases', values.cases, cases.map((c) => c.name)),
    seconds: wholeNumber('--seconds', values.seconds, 60),
    rounds: wholeNumber('--rounds', values.rounds, 20)
  }
}

function isThere(peer) {
  if (peer.missing) console.error(`- ${peer.name} is left out: ${peer.missing}`)
  return !peer.missing
}
