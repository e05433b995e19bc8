/**
 * The benchmark of tasks: a task that does nothing, there and back, one worker that runs it; or a task that is kept on a disk. Us and the peers, each in a
 * process of its own, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/task/run.mjs [--case trip | always | interval] [--peers a,b] [--inflight 1,64] [--millis 2000] [--rounds 3] [--node22 | --node24] [--json FILE]
 */
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { fixed, median, rotated, table } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { missingBuild, missingPackage, nodeOf } from '../support/runtimes.mjs'

const cases = { trip: ['sluice', 'worker-threads', 'piscina', 'bullmq'], always: ['sluice', 'bullmq'], interval: ['sluice', 'bullmq'] }
const { values } = parseArgs({
  options: {
    case: { type: 'string', default: 'trip' },
    peers: { type: 'string' },
    inflight: { type: 'string' },
    millis: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    node22: { type: 'boolean', default: false },
    node24: { type: 'boolean', default: false },
    json: { type: 'string' }
  }
})
const millis = wholeNumber('--millis', values.millis, 60_000)
const rounds = wholeNumber('--rounds', values.rounds, 20)
const peerNames = cases[values.case] ?? fail(`--case: unknown "${values.case}"; there are ${Object.keys(cases).join(', ')}`)
const inflights = (values.inflight ?? (values.case === 'trip' ? '1,64' : '1,64,1000')).split(',').map((number) => wholeNumber('--inflight', number, 100_000))
const node = nodeOf(values.node24 ? '24' : values.node22 ? '22' : process.versions.node.split('.')[0])
if (node.missing) fail(node.missing)
const missing = {
  sluice: missingBuild(),
  piscina: missingPackage('piscina'),
  bullmq: missingPackage('bullmq') ?? (existsSync('/usr/bin/redis-server') ? undefined : 'needs redis-server: apt-get install redis-server')
}
const peers = (listOf('--peers', values.peers, peerNames) ?? peerNames).filter((peer) => {
  if (missing[peer]) console.error(`- ${peer} is left out: ${missing[peer]}`)
  return !missing[peer]
})
if (peers.length === 0) fail('no peer is left')
const machine = describeMachine()
if (machine.loadBefore > 0.5) console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): read ratios, not absolutes`)

const script = fileURLToPath(new URL('measure.mjs', import.meta.url))
const measure = async (peer, inflight) => JSON.parse((await promisify(execFile)(node.command, [script, peer, values.case, String(inflight), String(millis)])).stdout)

/** In flight → peer → results. */
const results = Object.fromEntries(inflights.map((inflight) => [inflight, Object.fromEntries(peers.map((peer) => [peer, []]))]))
for (let round = 0; round < rounds; round++) {
  for (const inflight of inflights) {
    for (const peer of rotated(peers, round)) {
      const { count, seconds, cpuMicros } = await measure(peer, inflight)
      results[inflight][peer].push({ rate: count / seconds, cpu: cpuMicros / count })
      console.error(`  round ${round + 1}, ${inflight} in flight, ${peer}: ${fixed(count / seconds, 0)} a second, ${fixed(cpuMicros / count)} µs of CPU each`)
    }
  }
}

const { cpu, cores, memoryGiB, kernel, commit, date, loadBefore } = machine
console.log(`# Task benchmark\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores, ${memoryGiB} GiB · Linux ${kernel} · load average before: ${loadBefore.toFixed(2)}\n`)
const middle = (inflight, peer, figure) => median(results[inflight][peer].map((result) => result[figure]))
for (const inflight of inflights) {
  const [first] = peers
  const row = (peer) => [
    peer,
    fixed(middle(inflight, peer, 'cpu'), 1),
    `${fixed(middle(inflight, peer, 'cpu') / middle(inflight, first, 'cpu'))}×`,
    fixed(middle(inflight, peer, 'rate'), 0),
    `${fixed(middle(inflight, first, 'rate') / middle(inflight, peer, 'rate'))}×`
  ]
  const unit = values.case === 'trip' ? 'round trips/s' : 'kept/s'
  console.log(`${table([`${inflight} in flight`, 'CPU µs', `÷ ${first}`, unit, `${first} ÷ it`], peers.map(row))}\n`)
}
if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, values, results }, null, 2)}\n`)
