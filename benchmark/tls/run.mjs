/**
 * The TLS benchmark: "Hello, world!" over HTTPS, 64 connections that are kept alive, and handshakes without resumption.
 *
 *   node benchmark/tls/run.mjs [--peers a,b] [--seconds 2] [--rounds 3] [--json FILE]
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measureLoad } from '../http/load-case.mjs'
import { loadTable } from '../http/report.mjs'
import { requireTools } from '../http/wrk.mjs'
import { listOf, wholeNumber } from '../support/arguments.mjs'
import { serverCore } from '../support/cores.mjs'
import { rotated } from '../support/figures.mjs'
import { describeMachine } from '../support/machine.mjs'
import { binaries, missingBinary, missingBuild } from '../support/runtimes.mjs'
import { ServerProcess } from '../support/server-process.mjs'

const folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name))
// P-256, as most certificates are today: the signature is what a handshake costs.
const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost']
execFileSync('openssl', ['req', '-x509', ...options, '-keyout', key, '-out', cert], { stdio: 'pipe' })

const peerFile = (name) => fileURLToPath(new URL(`peers/${name}`, import.meta.url))
const known = [
  { name: 'sluice', command: [process.execPath, peerFile('sluice.mjs'), cert, key], missing: missingBuild() },
  { name: 'node-https', command: [process.execPath, peerFile('node-https.mjs'), cert, key] },
  { name: 'bun', command: [binaries.bun, peerFile('bun.js'), cert, key], missing: missingBinary(binaries.bun) }
]
const { values } = parseArgs({
  options: { peers: { type: 'string' }, seconds: { type: 'string', default: '2' }, rounds: { type: 'string', default: '3' }, json: { type: 'string' } }
})
const seconds = wholeNumber('--seconds', values.seconds, 60)
const rounds = wholeNumber('--rounds', values.rounds, 20)
const names = listOf('--peers', values.peers, known.map(({ name }) => name))
const peers = known.filter(({ name, missing }) => {
  if (names && !names.includes(name)) return false
  if (missing) console.error(`- ${name} is left out: ${missing}`)
  return !missing
})

await requireTools()
const machine = describeMachine()
if (machine.loadBefore > 0.5) console.error(`! the machine is busy (load ${machine.loadBefore.toFixed(1)}): read ratios, not absolutes`)
const cases = [
  { name: 'keep-alive × 64', path: '/', load: 'get', connections: 64, pinned: true },
  { name: 'a handshake for each request × 16', path: '/close', load: 'get', connections: 16, pinned: true }
]
const results = new Map(cases.map(({ name }) => [name, new Map()]))
for (let round = 0; round < rounds; round++) {
  for (const peer of rotated(peers, round)) {
    const server = await ServerProcess.start(peer, serverCore)
    try {
      for (const load of cases) {
        const { pid, port } = server
        const result = await measureLoad({ pid, url: `https://127.0.0.1:${port}` }, load, seconds)
        const byPeer = results.get(load.name)
        byPeer.set(peer.name, [...(byPeer.get(peer.name) ?? []), result])
        console.error(`  round ${round + 1} ${load.name} ${peer.name}: ${result.cpu.toFixed(2)} µs, ${result.rps.toFixed(0)}/s`)
      }
    } finally {
      await server.stop()
    }
  }
}
for (const [name, byPeer] of results) console.log(`\n### ${name}\n\n${loadTable(byPeer)}`)
if (values.json) {
  const plain = Object.fromEntries([...results].map(([name, byPeer]) => [name, Object.fromEntries(byPeer)]))
  writeFileSync(values.json, `${JSON.stringify({ machine, results: plain }, null, 2)}\n`)
}
