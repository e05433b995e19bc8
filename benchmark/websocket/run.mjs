/**
 * The WebSocket benchmark: us and the peers, one server at a time, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/websocket/run.mjs [--peers a,b] [--cases a,b] [--seconds 1] [--rounds 3] [--minutes 10]
 *                                    [--node22 | --node24] [--json FILE]
 */
import { writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { serverCore } from '../support/cores.mjs'
import { rotated } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { ServerProcess } from '../support/server-process.mjs'
import { cases } from './cases.mjs'
import { idleConnectionBytes } from './idle-memory.mjs'
import { measureLoad } from './load-case.mjs'
import { buildLoadClient } from './load-client.mjs'
import { answering, defaultPeers, peerNames, resolvePeer } from './peers.mjs'
import { loadTable, memoryTable } from './report.mjs'

const options = readOptions()
const machine = describeMachine()
const loadClient = buildLoadClient()
let peers = availablePeers()
const chosen = cases.filter((c) => options.cases?.includes(c.name) ?? true)
const order = peers.map((peer) => peer.name)
/** Case name → peer name → round → result. */
const results = new Map(chosen.map((c) => [c.name, new Map(order.map((name) => [name, new Map()]))]))

announce()
const started = performance.now()
for (let round = 1; round <= options.rounds && isTimeFor(round); round++) {
  for (const c of chosen) {
    // Peers of one case follow each other at once: what is compared was measured within seconds, whatever the machine does later.
    for (const peer of rotated(peers, round - 1)) await measure(peer, c, round)
  }
}
printTables()
if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, options, results: plain(results) }, null, 2)}\n`)

function readOptions() {
  const { values } = parseArgs({
    options: {
      peers: { type: 'string' },
      cases: { type: 'string' },
      seconds: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '10' },
      node22: { type: 'boolean', default: false },
      node24: { type: 'boolean', default: false },
      json: { type: 'string' }
    }
  })
  const own = process.versions.node.split('.')[0]
  return {
    ...values,
    peers: listOf('--peers', values.peers, peerNames) ?? defaultPeers,
    cases: listOf('--cases', values.cases, cases.map((c) => c.name)),
    seconds: wholeNumber('--seconds', values.seconds, 60),
    rounds: wholeNumber('--rounds', values.rounds, 20),
    minutes: wholeNumber('--minutes', values.minutes, 120),
    major: values.node24 ? '24' : values.node22 ? '22' : own
  }
}

function availablePeers() {
  const all = options.peers.map((name) => resolvePeer(name, { major: options.major, loadClient }))
  for (const peer of all) if (peer.missing) console.error(`- ${peer.name} is left out: ${peer.missing}`)
  const found = all.filter((peer) => !peer.missing)
  if (found.length === 0) fail('no peer is left')
  return found
}

function announce() {
  const windows = peers.length * chosen.length * options.rounds
  const minutes = (windows * (options.seconds + 2)) / 60
  console.error(`${peers.length} peers, ${chosen.length} cases, ${options.rounds} rounds of ${options.seconds} s: about ${Math.ceil(minutes)} min`)
  if (machine.loadBefore > 0.5) {
    console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): read ratios, not absolutes`)
  }
}

/** A busy machine makes warm-ups longer. What is measured by then is worth more than the round that would not end in time. */
function isTimeFor(round) {
  const spent = (performance.now() - started) / 60_000
  const fits = round === 1 || spent + spent / (round - 1) <= options.minutes
  if (!fits) console.error(`! round ${round} would end after --minutes ${options.minutes}: stopped after ${round - 1}`)
  return fits
}

/** A server of its own for every figure: none inherits memory or closing connections from another case. */
async function measure(peer, c, round) {
  const server = await ServerProcess.start(answering(peer, c.answer), serverCore).catch(leaveOut(peer))
  if (!server) return
  try {
    const measureOne = c.kind === 'load' ? measureLoad : idleConnectionBytes
    const result = await measureOne(server, c, { loadClient, seconds: options.seconds })
    results.get(c.name).get(peer.name).set(round, result)
    const said = c.kind === 'load' ? `${result.cpu.toFixed(2)} µs, ${result.rate.toFixed(0)}/s` : `${(result / 1024).toFixed(2)} KiB`
    console.error(`  round ${round} ${c.name} ${peer.name}: ${said}`)
  } catch (error) {
    leaveOut(peer)(new Error(`${c.name}: ${error.message}`, { cause: error }))
  } finally {
    await server.stop()
  }
}

/** One peer that breaks is said and left out from then on; the others' figures are not lost with it. */
function leaveOut(peer) {
  return (error) => {
    console.error(`! ${peer.name} is left out from here on: ${error.message}`)
    peers = peers.filter((other) => other !== peer)
    process.exitCode = 1
    if (peers.length === 0) fail('no peer is left')
  }
}

function printTables() {
  const { cpu, cores, memoryGiB, kernel, node, commit, date, loadBefore } = machine
  console.log(`# WebSocket benchmark\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores, ${memoryGiB} GiB · Linux ${kernel}`)
  console.log(`Node ${node}, Node-based peers on ${options.major} unless named · load average before: ${loadBefore.toFixed(2)}`)
  for (const c of chosen) {
    const byPeer = new Map([...results.get(c.name)].filter(([, rounds]) => rounds.size > 0))
    if (byPeer.size === 0) continue
    const reference = byPeer.has('sluice') ? 'sluice' : [...byPeer.keys()][0]
    console.log(`\n## ${c.title}\n`)
    console.log(c.kind === 'load' ? loadTable(byPeer, reference, c.unit) : memoryTable(byPeer, reference))
  }
}

function plain(byCase) {
  return Object.fromEntries(
    [...byCase].map(([name, byPeer]) => [name, Object.fromEntries([...byPeer].map(([peer, rounds]) => [peer, [...rounds.values()]]))])
  )
}
