/** Who is measured: how each peer is started, and why it cannot be when it cannot. */
import { fileURLToPath } from 'node:url'
import { binaries, missingBinary, missingBuild } from '../support/runtimes.mjs'
import { compiled } from './compiled.mjs'

const file = (name) => fileURLToPath(new URL(`peers/${name}`, import.meta.url))
const node = (name, path, missing) => () => ({ name, command: [process.execPath, file(path)], missing: missing?.() })

const table = {
  sluice: node('sluice', 'sluice.mjs', missingBuild),
  floor: () => ({ name: 'floor', ...compiled(file('floor.c')) }),
  bun: () => ({ name: 'bun', command: [binaries.bun, file('bun.js')], missing: missingBinary(binaries.bun) }),
  'node-dgram': node('node-dgram', 'node-dgram.mjs')
}

/** Every name `--peers` takes. */
export const peerNames = Object.keys(table)

export const resolvePeer = (name) => table[name]()
