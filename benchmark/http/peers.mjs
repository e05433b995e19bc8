/** Who is measured: how each peer is started, and why it cannot be when it cannot. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaries, missingBinary, missingBuild, missingPackage, nodeOf } from '../support/runtimes.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const peerFile = (name) => join(here, 'peers', name)

function node(name, file, more = {}) {
  return ({ major }) => {
    const { command, missing } = nodeOf(more.major ?? major)
    return { name, command: [command, peerFile(file), ...(more.args ?? [])], missing: missing ?? more.missing?.(), ...more.traits }
  }
}

function ours(name, args, traits = {}) {
  return ({ major, config }) =>
    node(name, 'sluice.mjs', { args: [...args, ...(config ? ['--config', config] : [])], missing: missingBuild, traits })({ major })
}

function binary(name, command) {
  return () => ({ name, command, missing: missingBinary(command[0]) })
}

/** Compiled for the run into a directory of its own, removed when the runner ends. */
function floorC() {
  const peer = { name: 'floor-c', command: ['floor'], getOnly: true }
  const directory = mkdtempSync(join(tmpdir(), 'sluice-floor-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const output = join(directory, 'floor')
  try {
    execFileSync('gcc', ['-O2', '-Wall', '-o', output, peerFile('floor.c')], { stdio: 'pipe' })
  } catch (error) {
    return { ...peer, missing: `floor.c cannot be compiled: ${error.message.split('\n')[0]}` }
  }
  return { ...peer, command: [output] }
}

/**
 * In the order of the tables. `sluice` is what every ratio refers to. `major` is the Node the runner was asked
 * for; a peer with a version in its name keeps to that one, and uws has no binary for a Node after 20.
 *
 * @type {Record<string, (options: { major: string, config?: string }) => Peer>}
 * @typedef {{ name: string, command: string[], missing?: string, getOnly?: boolean, workers?: number }} Peer
 */
const table = {
  sluice: ours('sluice', ['--workers', '1'], { workers: 1 }),
  'sluice-2w': ours('sluice-2w', ['--workers', '2'], { workers: 2 }),
  'sluice-3w': ours('sluice-3w', ['--workers', '3'], { workers: 3 }),
  'sluice-inline': ours('sluice-inline', ['--inline']),
  'sluice-floor': ours('sluice-floor', ['--floor'], { getOnly: true }),
  'floor-c': floorC,
  uws: node('uws', 'uws.mjs', { major: '20', missing: () => missingPackage('@rjweb/uws') }),
  bun: binary('bun', [binaries.bun, peerFile('bun.js')]),
  deno: binary('deno', [binaries.deno, 'run', '--allow-net', peerFile('deno.js')]),
  'node-http': node('node-http', 'node-http.mjs'),
  'node-http@20': node('node-http@20', 'node-http.mjs', { major: '20' }),
  'node-http@22': node('node-http@22', 'node-http.mjs', { major: '22' }),
  'node-http@24': node('node-http@24', 'node-http.mjs', { major: '24' }),
  fastify: node('fastify', 'fastify.mjs', { missing: () => missingPackage('fastify') }),
  express: node('express', 'express.mjs', { missing: () => missingPackage('express') })
}

/** Every name `--peers` takes. */
export const peerNames = Object.keys(table)

/** What runs when `--peers` is not given: each peer once, on the Node that was asked for and on 24. */
export const defaultPeers = peerNames.filter((name) => !['sluice-3w', 'node-http@20', 'node-http@22'].includes(name))

/** @returns {Peer} */
export const resolvePeer = (name, options) => table[name](options)
