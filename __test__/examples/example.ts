import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cliPath, Command } from '../cli/command.ts'
import { removeState } from '../support/state-dir.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** Ends what was started: a test, or something that lives as long as a file. */
export interface Scope {
  teardown(end: () => unknown): void
}

/** Starts an example's configuration on a free port, with a state directory of its own, and waits until it is ready. */
export async function startConfig(t: Scope, config: string, env: Record<string, string> = {}): Promise<{ command: Command; url: string }> {
  const state = mkdtempSync(join(tmpdir(), 'sluice-example-'))
  t.teardown(() => removeState(state))
  const command = start(t, [cliPath, 'start', '-c', resolve(root, config), '--port', '0'], { SLUICE_STATE_DIR: state, ...env })
  const [, url = ''] = await command.said(/http +(http:\S+)\//)
  await command.said(/stop: /)
  return { command, url }
}

/** Runs an example program as its README says, on a free port, and waits until it prints its address. */
export async function startProgram(t: Scope, program: string): Promise<{ command: Command; url: string }> {
  // Node.js 20 does not run TypeScript; `jiti` does, as the README says.
  const runner = 'typescript' in process.features && process.features.typescript ? [] : [join(root, 'node_modules/jiti/lib/jiti-cli.mjs')]
  const command = start(t, [...runner, join(root, program)], { PORT: '0' })
  const [, url = ''] = await command.said(/listening on (\S+)/)
  return { command, url }
}

function start(t: Scope, args: readonly string[], env: Record<string, string>): Command {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  return new Command(child)
}
