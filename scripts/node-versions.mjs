/**
 * The Node.js releases the suite runs on besides the one that runs npm. They come from npm as plain packages
 * with one binary each and no install script; `node-versions/package-lock.json` pins them.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { installPackages, root } from './setup.mjs'

const folder = join(root, 'scripts', 'node-versions')

/**
 * The release lines of `node-versions/package.json` for this platform, oldest first; empty where npm has no
 * binary for it (only Linux on x64 and arm64 with glibc is pinned).
 *
 * @returns {string[]} such as `['22', '24']`
 */
export function nodeLines() {
  if (process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined) return []
  const { optionalDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const suffix = `-${process.platform}-${process.arch}`
  return Object.keys(optionalDependencies)
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.split('-')[1])
    .sort()
}

/**
 * Installs the binary of a release line if it is not there yet.
 *
 * @param {string} line one of {@link nodeLines}
 * @returns {Promise<string>} the path of its `node`
 * @throws {Error} It could not be installed or does not run.
 */
export async function nodeBinary(line) {
  await installPackages(folder)
  const bin = join(folder, 'node_modules', `node-${line}-${process.platform}-${process.arch}`, 'bin', 'node')
  const { status, stdout, error } = spawnSync(bin, ['--version'], { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0 || !stdout.startsWith(`v${line}.`)) {
    throw new Error(`Node.js ${line} from npm does not run here: ${error?.message ?? `it exited with ${status} and printed ${JSON.stringify(stdout)}`}`)
  }
  return bin
}
