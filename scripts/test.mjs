/**
 * `npm test`: sets the clone up, runs every check and says which tests failed and how many passed. The last line
 * is `N passed, N failed`; the exit code is 0 only if nothing failed. With `CI=true` passing tests are only counted.
 *
 *     npm test -- --only rust,ava           some groups of: lint, ts, rust, ava
 *     npm test -- --node 24                 AVA on one Node.js only: current, 22 or 24
 *     npm test -- --only ava __test__/http/request.spec.ts
 */
import { parseArgs } from 'node:util'

import { allChecks } from './checks.mjs'
import { runCommand } from './command.mjs'
import { root, setup } from './setup.mjs'
import { Totals } from './totals.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, node: { type: 'string' } },
})
process.chdir(root)

/** Logs of CI are cut: thousands of names of passing tests would push out what matters. */
const isTerse = process.env['CI'] === 'true'
// What is compiled once is compiled quicker without. Panics name their place in any case.
if (isTerse) {
  process.env['CARGO_INCREMENTAL'] ??= '0'
  process.env['CARGO_PROFILE_DEV_DEBUG'] ??= 'none'
}
const rows = []
try {
  const checks = select(allChecks({ avaFiles: positionals, node: values.node }), values.only)
  await timed('setup', async () => {
    const compiled = compileAhead(checks)
    await setup()
    await compiled
    return { passed: 0, failed: 0, failures: [] }
  })
  for (const check of checks) await timed(check.name, () => run(check))
} catch (error) {
  console.error(`\n${error.message}`)
  rows.push({ name: 'stopped early', passed: 0, failed: 1, failures: [{ name: error.message, lines: [] }], seconds: 0 })
}
showFailures()
const failed = summary()
process.exitCode = failed > 0 ? 1 : 0

/**
 * Compiles what checks will run, one after the other. What goes wrong here goes wrong again there, and is told there.
 *
 * @param {readonly import('./checks.mjs').Check[]} checks
 */
async function compileAhead(checks) {
  for (const check of checks) {
    if (check.ahead === undefined) continue
    const [program, ...args] = await check.command()
    await runCommand(program, [...args, ...check.ahead], { cwd: root, env: check.env?.(program), line: () => undefined })
  }
}

/** @param {import('./checks.mjs').Check} check */
async function run(check) {
  console.log(`\n── ${check.name} ${'─'.repeat(Math.max(0, 70 - check.name.length))}`)
  const totals = new Totals(check.totals)
  const line = (text) => {
    const terse = totals.line(text)
    return isTerse ? terse : text
  }
  try {
    const [program, ...args] = await check.command()
    const { ok, reason } = await runCommand(program, args, { cwd: root, env: check.env?.(program), line })
    if (!ok) console.error(`${check.name}: ${reason}`)
    return totals.end(ok, reason)
  } catch (error) {
    console.error(`${check.name}: ${error.message}`)
    return totals.end(false, error.message)
  }
}

async function timed(name, work) {
  const started = performance.now()
  const counts = await work()
  rows.push({ name, ...counts, seconds: (performance.now() - started) / 1000 })
}

function select(checks, only) {
  if (only === undefined) return checks
  const groups = only.split(',')
  const known = new Set(checks.map(({ group }) => group))
  for (const group of groups) {
    if (!known.has(group)) throw new Error(`--only ${group}: unknown group, expected ${[...known].join(', ')}`)
  }
  return checks.filter(({ group }) => groups.includes(group))
}

/** Prints again, near the end where logs are looked at and kept, what failed and why. */
function showFailures() {
  for (const { name: check, failures } of rows) {
    for (const { name, lines } of failures) {
      console.log(`\n✘ ${check}: ${name}`)
      for (const line of lines) console.log(`  ${line}`)
    }
  }
}

/** Prints the table and the last line; returns how many failed. */
function summary() {
  const total = { passed: 0, failed: 0 }
  const width = Math.max(...rows.map(({ name }) => name.length))
  console.log(`\n${'check'.padEnd(width)}   passed   failed      time`)
  for (const { name, passed, failed, seconds } of rows) {
    total.passed += passed
    total.failed += failed
    console.log(`${name.padEnd(width)}  ${cell(passed, 7)}  ${cell(failed, 7)}  ${cell(`${seconds.toFixed(1)} s`, 8)}`)
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`)
  return total.failed
}

function cell(value, width) {
  return String(value).padStart(width)
}
