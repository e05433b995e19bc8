/** The programs that peers run on, and what to do when one is missing. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const modules = join(root, 'benchmark/node_modules')

/** Where the runtimes of `benchmark/package.json` keep their binaries; no install script is needed for them. */
export const binaries = {
  node22: join(modules, 'node22/bin/node'),
  node24: join(modules, 'node24/bin/node'),
  bun: join(modules, '@oven/bun-linux-x64/bin/bun'),
  deno: join(modules, '@deno/linux-x64-glibc/deno')
}

const needsInstall = 'not installed: run `npm ci` in benchmark/'
const needsBuild = 'not built: run `npm run build`'

/**
 * The Node of one release line: the runner's own, or the one of `benchmark/package.json`.
 *
 * @returns {{ command: string, missing?: string }}
 */
export function nodeOf(major) {
  if (process.versions.node.split('.')[0] === major) return { command: process.execPath }
  const command = binaries[`node${major}`]
  if (command === undefined) return { command: '', missing: `needs Node ${major}: start the runner with it` }
  return { command, missing: missingBinary(command) }
}

export const missingBinary = (path) => (existsSync(path) ? undefined : needsInstall)
export const missingPackage = (name) => missingBinary(join(modules, name))

/** What keeps Sluice itself from running. */
export const missingBuild = () =>
  existsSync(join(root, 'dist/index.js')) && existsSync(join(root, 'index.js')) ? undefined : needsBuild
