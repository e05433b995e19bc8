/**
 * The benchmark of tables: calls on rows, us and the peers, each in a process of its own, interleaved rounds, medians. See ../README.md.
 *
 *   node benchmark/table/run.mjs [--peers a,b] [--millis 1000] [--rounds 3] [--rows 1000000] [--node22 | --node24] [--json FILE]
 */
import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { fail, listOf, wholeNumber } from '../support/arguments.mjs'
import { fixed, mebibytes, median, rotated, table } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { missingBuild, missingPackage, nodeOf } from '../support/runtimes.mjs'
import { cases } from './cases.mjs'

const peerNames = ['sluice', 'map', 'lmdb', 'redis']
const { values } = parseArgs({
  options: {
    peers: { type: 'string' },
    millis: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '1000000' },
    node22: { type: 'boolean', default: false },
    node24: { type: 'boolean', default: false },
    json: { type: 'string' }
  }
})
const millis = wholeNumber('--millis', values.millis, 60_000)
const rounds = wholeNumber('--rounds', values.rounds, 20)
const rows = wholeNumber('--rows', values.rows, 100_000_000)
const node = nodeOf(values.node24 ? '24' : values.node22 ? '22' : process.versions.node.split('.')[0])
if (node.missing) fail(node.missing)
const missing = {
  sluice: missingBuild(),
  lmdb: missingPackage('lmdb'),
  redis: missingPackage('ioredis') ?? (existsSync('/usr/bin/redis-server') ? undefined : 'needs redis-server: apt-get install redis-server')
}
const peers = (listOf('--peers', values.peers, peerNames) ?? peerNames).filter((peer) => {
  if (missing[peer]) console.error(`- ${peer} is left out: ${missing[peer]}`)
  return !missing[peer]
})
if (peers.length === 0) fail('no peer is left')
const machine = describeMachine()
if (machine.loadBefore > 0.5) console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): read ratios, not absolutes`)

const script = fileURLToPath(new URL('measure.mjs', import.meta.url))
const measure = async (...args) => Number((await promisify(execFile)(node.command, ['--expose-gc', '--max-old-space-size=8192', script, ...args.map(String)])).stdout)

/** Case → peer → figures. */
const times = Object.fromEntries(Object.keys(cases).map((name) => [name, Object.fromEntries(peers.map((peer) => [peer, []]))]))
const scaling = []
for (let round = 0; round < rounds; round++) {
  for (const name of Object.keys(cases)) {
    for (const peer of rotated(peers, round)) times[name][peer].push(await measure(peer, 'time', name, millis))
    console.error(`  round ${round + 1} ${name}: ${peers.map((peer) => `${peer} ${fixed(times[name][peer].at(-1), 0)} ns`).join(', ')}`)
  }
  if (peers.includes('sluice')) {
    const [one, two] = [await measure('sluice', 'threads', 1, millis), await measure('sluice', 'threads', 2, millis)]
    scaling.push(two / one)
    console.error(`  round ${round + 1} two threads on different rows: ${fixed(two / one)} × one`)
  }
}
const memory = Object.fromEntries(await Promise.all(peers.map(async (peer) => [peer, await measure(peer, 'memory', rows)])))

const { cpu, cores, memoryGiB, kernel, commit, date, loadBefore } = machine
console.log(`# Table benchmark\n\n${date} · commit ${commit} · ${cpu}, ${cores} cores, ${memoryGiB} GiB · Linux ${kernel} · load average before: ${loadBefore.toFixed(2)}\n`)
const first = peers[0]
const ns = (name, peer) => median(times[name][peer])
console.log(
  table(
    ['ns per call', ...peers.flatMap((peer) => (peer === first ? [peer] : [peer, `÷ ${first}`]))],
    Object.keys(cases).map((name) => [name, ...peers.flatMap((peer) => (peer === first ? [fixed(ns(name, peer), 0)] : [fixed(ns(name, peer), 0), `${fixed(ns(name, peer) / ns(name, first), 1)}×`]))])
  )
)
if (scaling.length > 0) console.log(`\nTwo threads on different rows do ${fixed(median(scaling))} × the calls of one (incr).`)
console.log(`\n${table([`${rows} rows of 64 bytes`, 'MiB'], peers.map((peer) => [peer, mebibytes(memory[peer])]))}`)
if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, values, times, scaling, memory }, null, 2)}\n`)
