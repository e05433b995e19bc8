/** Who is measured: how each peer is started, and why it cannot be when it cannot. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const modules = join(here, '../node_modules')
const root = join(here, '../..')
const peerFile = (name) => join(here, 'peers', name)

/** Where the runtimes of `benchmark/package.json` keep their binaries; no install script is needed for them. */
const binaries = {
  node22: join(modules, 'node22/bin/node'),
  node24: join(modules, 'node24/bin/node'),
  bun: join(modules, '@oven/bun-linux-x64/bin/bun'),
  deno: join(modules, '@deno/linux-x64-glibc/deno')
}

const needsInstall = 'not installed: run `npm ci` in benchmark/'
const needsBuild = 'not built: run `npm run build`'

function nodeBinary(major) {
  if (process.versions.node.split('.')[0] === major) return process.execPath
  return binaries[`node${major}`]
}

function node(name, file, more = {}) {
  return ({ major }) => {
    const wanted = more.major ?? major
    const binary = nodeBinary(wanted)
    const missing =
      binary === undefined ? `needs Node ${wanted}: start the runner with it` : existsSync(binary) ? undefined : needsInstall
    return { name, command: [binary, peerFile(file), ...(more.args ?? [])], missing: missing ?? more.missing?.(), ...more.traits }
  }
}

function ours(name, args, traits = {}) {
  return ({ major, config }) =>
    node(name, 'sluice.mjs', {
      args: [...args, ...(config ? ['--config', config] : [])],
      missing: () => (existsSync(join(root, 'dist/index.js')) && existsSync(join(root, 'index.js')) ? undefined : needsBuild),
      traits
    })({ major })
}

function binary(name, command) {
  return () => ({ name, command, missing: existsSync(command[0]) ? undefined : needsInstall })
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

const fastifyMissing = () => (existsSync(join(modules, 'fastify')) ? undefined : needsInstall)
const expressMissing = () => (existsSync(join(modules, 'express')) ? undefined : needsInstall)
const uwsMissing = () => (existsSync(join(modules, '@rjweb/uws')) ? undefined : needsInstall)

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
  uws: node('uws', 'uws.mjs', { major: '20', missing: uwsMissing }),
  bun: binary('bun', [binaries.bun, peerFile('bun.js')]),
  deno: binary('deno', [binaries.deno, 'run', '--allow-net', peerFile('deno.js')]),
  'node-http': node('node-http', 'node-http.mjs'),
  'node-http@20': node('node-http@20', 'node-http.mjs', { major: '20' }),
  'node-http@22': node('node-http@22', 'node-http.mjs', { major: '22' }),
  'node-http@24': node('node-http@24', 'node-http.mjs', { major: '24' }),
  fastify: node('fastify', 'fastify.mjs', { missing: fastifyMissing }),
  express: node('express', 'express.mjs', { missing: expressMissing })
}

/** Every name `--peers` takes. */
export const peerNames = Object.keys(table)

/** What runs when `--peers` is not given: each peer once, on the Node that was asked for and on 24. */
export const defaultPeers = peerNames.filter((name) => !['sluice-3w', 'node-http@20', 'node-http@22'].includes(name))

/** @returns {Peer} */
export const resolvePeer = (name, options) => table[name](options)
