/**
 * Everything between a fresh clone and a program that runs: packages, the native core, TypeScript.
 * Each step is skipped when what it is made from has not changed, so the second `npm start` builds nothing.
 *
 * The native core is always built in release: it is what users get, the packaging test measures it, and
 * one build serves `npm start`, `npm test` and the benchmark.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { npmCommand, runCommand } from './command.mjs'
import { requireNode, requireRust, RequirementError } from './requirements.mjs'
import { Stamps } from './stamps.mjs'

/** The repository. */
export const root = fileURLToPath(new URL('..', import.meta.url))

const steps = {
  native: {
    says: 'building the native core in release (two to four minutes the first time)',
    script: 'build:native',
    inputs: ['crates', 'Cargo.toml', 'Cargo.lock', '.cargo', 'package.json', 'package-lock.json'],
    outputs: () => [...readdirSync(root).filter((name) => /^sluice\..+\.node$/.test(name)), 'index.js', 'index.d.ts'],
    isComplete: (outputs) => outputs.some((name) => name.endsWith('.node')),
  },
  ts: {
    says: 'building the TypeScript',
    script: 'build:ts',
    inputs: ['src-ts', 'rolldown.config.mjs', 'tsconfig.json', 'tsconfig.build.json', 'package.json', 'package-lock.json'],
    outputs: () => ['dist'],
    isComplete: () => statSync(join(root, 'dist/index.js'), { throwIfNoEntry: false }) !== undefined,
  },
}

/**
 * Makes the clone ready to run.
 *
 * @throws {RequirementError} Node, Rust or the linker is missing; the message says what to do.
 * @throws {Error} A step failed; its own output has been printed.
 */
export async function setup() {
  requireNode(root)
  await installPackages(root)
  const stamps = new Stamps(root, join(root, 'target', 'setup-stamps.json'))
  for (const [name, step] of Object.entries(steps)) {
    const before = step.outputs()
    if (step.isComplete(before) && stamps.isFresh(name, step.inputs, before)) continue
    if (name === 'native') requireRust(root)
    await run(step.says, ...npmCommand(), 'run', '--silent', step.script)
    stamps.record(name, step.inputs, step.outputs())
  }
}

/** `npm ci` in a folder whose node_modules is missing or older than its lockfile. */
export async function installPackages(folder) {
  const installed = modified(join(folder, 'node_modules', '.package-lock.json'))
  if (installed !== undefined && installed >= modified(join(folder, 'package-lock.json'))) return
  await run('installing packages', ...npmCommand(), 'ci', '--no-audit', '--no-fund', '--prefix', folder)
}

async function run(says, program, ...args) {
  const started = performance.now()
  console.error(`setup: ${says}`)
  // `npm test --silent` hands its silence down, and an error of npm's own would go unsaid.
  const { ok, reason } = await runCommand(program, args, { cwd: root, env: { npm_config_loglevel: 'error' } })
  if (!ok) throw new Error(`Setup failed while ${says}: ${reason}`)
  console.error(`setup: done in ${((performance.now() - started) / 1000).toFixed(1)} s`)
}

function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setup()
  } catch (error) {
    console.error(error instanceof RequirementError ? `\n${error.message}\n` : `\n${error.message}`)
    process.exitCode = 1
  }
}
