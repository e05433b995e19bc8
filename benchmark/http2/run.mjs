/**
 * The HTTP/2 benchmark: hello over plain text with h2load, us and the peers, one server at a time, interleaved rounds, medians.
 *
 *   node benchmark/http2/run.mjs [--peers a,b] [--seconds 2] [--rounds 3]
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { clientCore, serverCore } from '../support/cores.mjs'
import { fixed, median, rotated, table, threadColumn } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { binaries, missingBinary, missingBuild } from '../support/runtimes.mjs'
import { ServerProcess } from '../support/server-process.mjs'
import { threadTimes, timeBetween } from '../support/threads.mjs'
import { h2load, requireH2load } from './h2load.mjs'

const at = (file) => fileURLToPath(new URL(file, import.meta.url))
const known = {
  sluice: { name: 'sluice', command: [process.execPath, at('../http/peers/sluice.mjs'), '--workers', '1'], missing: missingBuild() },
  'sluice-floor': { name: 'sluice-floor', command: [process.execPath, at('../http/peers/sluice.mjs'), '--floor'], missing: missingBuild() },
  'node-http2': { name: 'node-http2', command: [process.execPath, at('peers/node-http2.mjs')] },
  bun: { name: 'bun', command: [binaries.bun, at('peers/node-http2.mjs')], missing: missingBinary(binaries.bun) }
}
/** One client with many streams, as a proxy is, and several with as many in all. */
const cases = [
  { name: '1 connection, 64 streams', connections: 1, streams: 64 },
  { name: '16 connections, 4 streams each', connections: 16, streams: 4 }
]

const { values } = parseArgs({
  options: { peers: { type: 'string' }, seconds: { type: 'string', default: '2' }, rounds: { type: 'string', default: '3' } }
})
const names = listOf('--peers', values.peers, Object.keys(known)) ?? Object.keys(known)
const seconds = wholeNumber('--seconds', values.seconds, 60)
const rounds = wholeNumber('--rounds', values.rounds, 20)
await requireH2load()
const machine = describeMachine()
for (const { name, missing } of names.map((name) => known[name])) if (missing) console.error(`- ${name} is left out: ${missing}`)
const peers = names.map((name) => known[name]).filter((peer) => !peer.missing)
if (peers.length === 0) fail('no peer is left')

/** Case → peer → one result per round. */
const results = new Map(cases.map(({ name }) => [name, new Map(peers.map((peer) => [peer.name, []]))]))
for (let round = 0; round < rounds; round++) {
  for (const peer of rotated(peers, round)) {
    const server = await ServerProcess.start(peer, serverCore)
    try {
      for (const load of cases) {
        const result = await measure(server, load)
        results.get(load.name).get(peer.name).push(result)
        console.error(`  round ${round + 1} ${load.name} ${peer.name}: ${fixed(result.cpu)} µs, ${fixed(result.rps, 0)}/s`)
      }
    } finally {
      await server.stop()
    }
  }
}

console.log(`# HTTP/2 benchmark\n\n${machine.date} · commit ${machine.commit} · ${machine.cpu} · Node ${machine.node} · load average before: ${machine.loadBefore.toFixed(2)}`)
for (const { name } of cases) {
  const rows = [...results.get(name)].map(([peer, all]) => {
    const cpu = median(all.map((result) => result.cpu))
    return { peer, ...all.find((result) => result.cpu === cpu), failed: all.reduce((sum, result) => sum + result.failed, 0) }
  })
  const ours = rows.find((row) => row.peer === 'sluice')?.cpu
  console.log(`\n## ${name}\n`)
  console.log(
    table(
      ['peer', 'CPU µs/req', '÷ ours', 'by thread', 'req/s', 'failed'],
      rows.map((row) => [row.peer, fixed(row.cpu), fixed(row.cpu / ours), threadColumn(row), fixed(row.rps, 0), row.failed])
    )
  )
}

async function measure(server, { connections, streams }) {
  const options = { connections, streams, core: clientCore }
  await h2load(server.url, { ...options, seconds: 1 })
  const before = threadTimes(server.pid)
  const { requests, failed, rps } = await h2load(server.url, { ...options, seconds })
  const spent = timeBetween(server.pid, before, threadTimes(server.pid))
  const perRequest = (ns) => ns / 1000 / Math.max(1, requests)
  return {
    rps,
    failed,
    cpu: perRequest([...spent.values()].reduce((sum, ns) => sum + ns, 0)),
    threads: Object.fromEntries([...spent].map(([name, ns]) => [name, perRequest(ns)]))
  }
}
