/** Who is measured: how each peer is started, and why it cannot be when it cannot. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaries, missingBinary, missingBuild, nodeOf } from '../support/runtimes.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const peerFile = (name) => join(here, 'peers', name)

/** Compiles a program for the run, into a directory that is removed when the runner ends. */
export function compiled(source) {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-tcp-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const output = join(directory, 'program')
  execFileSync('gcc', ['-O2', '-Wall', '-o', output, source], { stdio: 'pipe' })
  return output
}

function floor() {
  try {
    return { name: 'floor', command: [compiled(peerFile('floor.c'))] }
  } catch (error) {
    return { name: 'floor', command: [], missing: `floor.c cannot be compiled: ${error.message.split('\n')[0]}` }
  }
}

function node(name, file, { major, missing: absent } = {}) {
  return (options) => {
    const { command, missing } = nodeOf(major ?? options.major)
    return { name, command: [command, peerFile(file)], missing: missing ?? absent?.() }
  }
}

/**
 * In the order of the tables.
 *
 * @type {Record<string, (options: { major: string }) => { name: string, command: string[], missing?: string }>}
 */
const table = {
  sluice: node('sluice', 'sluice.mjs', { missing: missingBuild }),
  floor,
  bun: () => ({ name: 'bun', command: [binaries.bun, peerFile('bun.js')], missing: missingBinary(binaries.bun) }),
  'node-net': node('node-net', 'node-net.mjs')
}

/** Every name `--peers` takes. */
export const peerNames = Object.keys(table)

export const resolvePeer = (name, options) => table[name](options)
