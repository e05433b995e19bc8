/**
 * The HTTP benchmark: us and the peers, one server at a time, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/http/run.mjs [--peers a,b] [--cases a,b] [--only load|memory|start] [--seconds 2] [--rounds 3]
 *                               [--node22 | --node24] [--config JSON] [--json FILE]
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { serverCore } from '../support/cores.mjs'
import { rotated } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { ServerProcess } from '../support/server-process.mjs'
import { cases } from './cases.mjs'
import { coldStartMillis } from './cold-start.mjs'
import { idleConnectionBytes, workerBytes } from './idle-memory.mjs'
import { measureLoad } from './load-case.mjs'
import { defaultPeers, peerNames, resolvePeer } from './peers.mjs'
import { loadTable, valueTable } from './report.mjs'
import { requireTools } from './wrk.mjs'

const options = readOptions()
await requireTools()
const machine = describeMachine()
const wanted = availablePeers()
let peers = wanted
const chosen = chosenCases()
const loads = chosen.filter((c) => c.kind === 'load')
/** Case name → peer name → one result per round. */
const results = new Map(chosen.map((c) => [c.name, new Map()]))

announce()
for (let round = 1; round <= options.rounds; round++) {
  for (const pinned of [true, false]) {
    const now = loads.filter((c) => c.pinned === pinned)
    for (const peer of rotated(peers, round - 1)) await measureLoads(peer, now, round)
  }
}
await measureMemory()
await measureStarts()
printTables()
if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, options, results: plain(results) }, null, 2)}\n`)

function readOptions() {
  const { values } = parseArgs({
    options: {
      peers: { type: 'string' },
      cases: { type: 'string' },
      only: { type: 'string' },
      seconds: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '3' },
      node22: { type: 'boolean', default: false },
      node24: { type: 'boolean', default: false },
      config: { type: 'string' },
      json: { type: 'string' }
    }
  })
  const own = process.versions.node.split('.')[0]
  return {
    ...values,
    peers: listOf('--peers', values.peers, peerNames) ?? defaultPeers,
    cases: listOf('--cases', values.cases, cases.map((c) => c.name)),
    only: listOf('--only', values.only, ['load', 'memory', 'start']),
    seconds: wholeNumber('--seconds', values.seconds, 60),
    rounds: wholeNumber('--rounds', values.rounds, 20),
    major: values.node24 ? '24' : values.node22 ? '22' : own
  }
}

function availablePeers() {
  const all = options.peers.map((name) => resolvePeer(name, options))
  for (const peer of all) if (peer.missing) console.error(`- ${peer.name} is left out: ${peer.missing}`)
  const found = all.filter((peer) => !peer.missing)
  if (found.length === 0) fail('no peer is left')
  return found
}

function chosenCases() {
  return cases.filter((c) => (options.cases?.includes(c.name) ?? true) && (options.only?.includes(c.kind) ?? true))
}

function announce() {
  const perRound = loads.length * peers.length
  const minutes = (perRound * options.rounds * (options.seconds + 1.5)) / 60
  console.error(
    `${peers.length} peers, ${chosen.length} cases, ${options.rounds} rounds of ${options.seconds} s: about ${Math.ceil(minutes)} min of load`
  )
  if (machine.loadBefore > 0.5) {
    console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): read ratios, not absolutes`)
  }
}

async function measureLoads(peer, loadCases, round) {
  const mine = loadCases.filter((c) => !peer.getOnly || c.path === '/')
  if (mine.length === 0) return
  const server = await ServerProcess.start(peer, mine[0].pinned ? serverCore : undefined).catch(leaveOut(peer))
  if (!server) return
  try {
    for (const load of mine) {
      const result = await measureLoad(server, load, options.seconds)
      record(load.name, peer.name, result)
      console.error(`  round ${round} ${load.name} ${peer.name}: ${result.cpu.toFixed(2)} µs, ${result.rps.toFixed(0)}/s`)
    }
  } catch (error) {
    leaveOut(peer)(error)
  } finally {
    await server.stop()
  }
}

async function measureMemory() {
  if (results.has('idle')) {
    for (const peer of peers) record('idle', peer.name, await idleConnectionBytes(peer).catch(leaveOut(peer)))
  }
  const one = peers.find((peer) => peer.name === 'sluice')
  if (results.has('worker-memory') && one) {
    record('worker-memory', one.name, await workerBytes(one, resolvePeer('sluice-3w', options)).catch(leaveOut(one)))
  }
}

async function measureStarts() {
  if (!results.has('cold-start')) return
  for (let round = 0; round < options.rounds; round++) {
    for (const peer of rotated(peers, round)) record('cold-start', peer.name, await coldStartMillis(peer).catch(leaveOut(peer)))
  }
}

/** One peer that breaks is said and left out from then on; the others' figures are not lost with it. */
function leaveOut(peer) {
  return (error) => {
    console.error(`! ${peer.name} is left out from here on: ${error.message}`)
    peers = peers.filter((other) => other !== peer)
    process.exitCode = 1
  }
}

function record(caseName, peer, result) {
  if (result === undefined) return
  const byPeer = results.get(caseName)
  byPeer.set(peer, [...(byPeer.get(peer) ?? []), result])
}

/** In the order the peers were asked for, whatever the rounds' rotation put first. */
function inOrder(byPeer) {
  return new Map(wanted.filter((peer) => byPeer.has(peer.name)).map((peer) => [peer.name, byPeer.get(peer.name)]))
}

function printTables() {
  const { cpu, cores, memoryGiB, kernel, node, commit, date, loadBefore } = machine
  console.log(`# HTTP benchmark\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores, ${memoryGiB} GiB · Linux ${kernel}`)
  console.log(`Node ${node}, Node-based peers on ${options.major} unless named · load average before: ${loadBefore.toFixed(2)}`)
  for (const c of chosen) {
    const byPeer = inOrder(results.get(c.name))
    if (byPeer.size === 0) continue
    console.log(`\n## ${c.title}\n`)
    if (c.kind === 'load') console.log(loadTable(byPeer))
    else if (c.kind === 'start') console.log(valueTable(byPeer, 'ms', 1))
    else if (c.name === 'idle') console.log(valueTable(byPeer, 'KiB', 1024))
    else console.log(valueTable(byPeer, 'MiB', 2 ** 20))
  }
}

function plain(map) {
  return Object.fromEntries([...map].map(([name, byPeer]) => [name, Object.fromEntries(byPeer)]))
}
