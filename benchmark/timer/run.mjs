/**
 * The timer benchmark: what shared timers cost in Rust, and how late they are in a worker, beside the timers of Node in the same worker, in
 * interleaved rounds. See ../README.md.
 *
 *   node benchmark/timer/run.mjs [--seconds 5] [--rounds 3] [--json FILE]
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { wholeNumber } from '../support/arguments.mjs'
import { fixed, mebibytes, median, rotated, table } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' }, rounds: { type: 'string', default: '3' }, json: { type: 'string' } } })
const seconds = wholeNumber('--seconds', values.seconds, 600)
const rounds = wholeNumber('--rounds', values.rounds, 20)
const root = fileURLToPath(new URL('../..', import.meta.url))
const machine = describeMachine()
if (machine.loadBefore > 0.5) console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): lateness is that of the machine`)

const rust = JSON.parse(execFileSync('cargo', ['run', '--release', '--quiet', '-p', 'sluice-core', '--example', 'timers'], { cwd: root, encoding: 'utf8' }))

const { createServer } = await import('../../dist/index.js')
const server = await createServer({ app: fileURLToPath(new URL('ticks.js', import.meta.url)), listen: { port: 0 }, workers: 1, stateDir: false })
const ask = (options) =>
  new Promise((resolve) => {
    server.on('message', (_from, result) => resolve(result), { once: true })
    server.postMessage(0, options)
  })

const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN
const ascending = (list) => [...list].sort((a, b) => a - b)

/**
 * How late each tick is on a grid of whole intervals, which only a timer that keeps its phase has. The phase is where the ticks cluster: behind the
 * widest gap in what remains of their times. A tick counts from the first planned time after the one before it, so that one that was skipped makes the next one late.
 */
function onGrid(times, interval) {
  const rests = ascending(times.map((at) => at % interval))
  let phase = rests[0]
  let widest = rests[0] + interval - rests.at(-1)
  for (let index = 1; index < rests.length; index++) {
    const gap = rests[index] - rests[index - 1]
    if (gap > widest) [widest, phase] = [gap, rests[index]]
  }
  const plannedAfter = (at) => phase + (Math.floor((at - phase) / interval) + 1) * interval
  // What is due and its tick may differ by the last bit.
  return ascending(times.slice(1).map((at, index) => Math.max(0, at - plannedAfter(times[index] + 1e-6))))
}

/** Who → case → figures of each round. */
const results = { shared: [], node: [] }
for (let round = 0; round < rounds; round++) {
  for (const who of rotated(['shared', 'node'], round)) {
    const shared = who === 'shared'
    const times = await ask({ run: 'every', ms: seconds * 1000, interval: 1, shared })
    const gaps = ascending(times.slice(1).map((at, index) => at - times[index] - 1))
    const grid = shared ? onGrid(times, 1) : []
    const took = ascending((await ask({ run: 'after', count: 200 * seconds, interval: 1, shared })).map((ms) => ms - 1))
    const count = 100_000
    const [churn] = await ask({ run: 'churn', count, shared })
    results[who].push({
      ticks: times.length / seconds,
      gap99: quantile(gaps, 0.99),
      late50: quantile(grid, 0.5),
      late99: quantile(grid, 0.99),
      after50: quantile(took, 0.5),
      after99: quantile(took, 0.99),
      churn: (churn * 1000) / count
    })
    console.error(`  round ${round + 1} ${who}: ${JSON.stringify(results[who].at(-1))}`)
  }
}
await server.shutdown()

const middle = (who, name) => median(results[who].map((result) => result[name]))
const row = (title, name, digits) => [title, ...['shared', 'node'].map((who) => fixed(middle(who, name), digits))]
const { cpu, cores, memoryGiB, kernel, node, commit, date, loadBefore } = machine
console.log(`${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, ${commit}, ${date}, load before ${fixed(loadBefore)}; ${rounds} rounds of ${seconds} s\n`)
console.log(
  table(
    ['in a worker', 'server.timer', 'Node'],
    [
      row('1 ms interval: ticks per second', 'ticks', 0),
      row('1 ms interval: gap beyond 1 ms, p99, ms', 'gap99', 3),
      row('1 ms interval: late on its grid, p50, ms', 'late50', 3),
      row('1 ms interval: late on its grid, p99, ms', 'late99', 3),
      row('1 ms timer: later than 1 ms, p50, ms', 'after50', 3),
      row('1 ms timer: later than 1 ms, p99, ms', 'after99', 3),
      row('set and clear, µs', 'churn', 3)
    ]
  )
)
console.log()
console.log(
  table(
    ['in Rust, 1 000 000 timers set', 'ns to set and clear', 'ns to come due', 'MiB'],
    [
      ['wheel', fixed(rust.wheelSetClearNs, 0), fixed(rust.wheelExpireNs, 0), mebibytes(rust.wheelBytes)],
      ['with name, task and input', fixed(rust.namedSetClearNs, 0), '–', mebibytes(rust.namedBytes)]
    ]
  )
)
if (values.json) writeFileSync(values.json, JSON.stringify({ machine, seconds, rounds, results, rust }, null, 2))
