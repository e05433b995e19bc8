/** Who is measured: how each peer is started, and why it cannot be when it cannot. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaries, missingBinary, missingBuild, missingPackage, nodeOf, root } from '../support/runtimes.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const peerFile = (name) => join(here, 'peers', name)

/** `ws` is a development dependency of the package itself: our tests run against it. */
const missingWs = () => (existsSync(join(root, 'node_modules/ws')) ? undefined : 'not installed: run `npm ci`')

function node(name, file, more = {}) {
  return ({ major }) => {
    const { command, missing } = nodeOf(more.major ?? major)
    return { name, command: [command, peerFile(file)], missing: missing ?? more.missing?.() }
  }
}

/**
 * In the order of the tables. Each command takes `echo` or `broadcast` as its last argument. `major` is the Node the
 * runner was asked for; a peer with a version in its name keeps to that one, and uws has no binary for a Node after 20.
 *
 * @type {Record<string, (options: { major: string, loadClient: string }) => Peer>}
 * @typedef {{ name: string, command: string[], missing?: string }} Peer
 */
const table = {
  sluice: node('sluice', 'sluice.mjs', { missing: missingBuild }),
  floor: ({ loadClient }) => ({ name: 'floor', command: [loadClient, 'floor', '--answer'] }),
  uws: node('uws', 'uws.mjs', { major: '20', missing: () => missingPackage('@rjweb/uws') }),
  bun: () => ({ name: 'bun', command: [binaries.bun, peerFile('bun.js')], missing: missingBinary(binaries.bun) }),
  'ws@20': node('ws@20', 'ws.mjs', { major: '20', missing: missingWs }),
  'ws@22': node('ws@22', 'ws.mjs', { major: '22', missing: missingWs }),
  'ws@24': node('ws@24', 'ws.mjs', { major: '24', missing: missingWs })
}

/** Every name `--peers` takes. */
export const peerNames = Object.keys(table)

/** What runs when `--peers` is not given. */
export const defaultPeers = peerNames.filter((name) => name !== 'ws@22')

/** @returns {Peer} */
export const resolvePeer = (name, options) => table[name](options)

/** The peer as it is started for a case. @param {Peer} peer @param {import('./cases.mjs').Answer} answer */
export const answering = (peer, answer) => ({ ...peer, command: [...peer.command, answer] })
