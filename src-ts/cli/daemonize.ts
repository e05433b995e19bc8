import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, fstatSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExitCode } from './run.ts'

/** Set in the environment of the process in the background, so that it does not go there again. */
const MARK = 'SLUICE_IN_BACKGROUND'

/** Whether this process is the one in the background. The mark is taken away: programs it starts are not. */
export function takeBackgroundMark(): boolean {
  const isMarked = process.env[MARK] !== undefined
  delete process.env[MARK]
  return isMarked
}

/** Tells the command that waits in the foreground that the server is ready. */
export function reportReady(): void {
  if (process.send === undefined) return
  process.send('ready', () => process.connected && process.disconnect())
}

/**
 * Starts the same command line in the background and waits until it is ready or has failed. Its output goes to `logFile`; what it
 * wrote there before it failed is printed. Prints the pid.
 */
export async function daemonize(args: readonly string[], logFile: string): Promise<ExitCode> {
  mkdirSync(dirname(logFile), { recursive: true })
  const log = openSync(logFile, 'a', 0o640)
  const { size } = fstatSync(log)
  const command = [...process.execArgv, ...inspectorOff(), fileURLToPath(new URL('./cli.js', import.meta.url)), 'start', ...args]
  const child = spawn(process.execPath, command, {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, [MARK]: '1' },
  })
  closeSync(log)

  const failure = await new Promise<ExitCode | undefined>((resolve, reject) => {
    child.once('error', reject)
    child.once('message', () => resolve(undefined))
    child.once('exit', (code) => resolve(code === 2 ? 2 : 1))
  })
  if (failure !== undefined) {
    process.stderr.write(readFileSync(logFile).subarray(size))
    return failure
  }
  child.unref()
  if (child.connected) child.disconnect()
  process.stdout.write(`Sluice runs in the background with pid ${child.pid}, and writes to ${logFile}\n`)
  return 0
}

/** Where Node can be told not to open its inspector on SIGUSR1, even the first moments are safe. */
function inspectorOff(): string[] {
  return process.allowedNodeEnvironmentFlags.has('--disable-sigusr1') ? ['--disable-sigusr1'] : []
}
