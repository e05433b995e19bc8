import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { isAlive, runningPid } from '../process/pid-file.ts'
import { ControlClient } from './control-client.ts'
import type { StopFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState, type StateFiles } from './state-dir.ts'

/** `sluice stop`: asks the server to stop and waits for its end. `isRestart`: its WebSockets are told that it will be back. */
export async function stop({ config, timeout, force }: StopFlags, { isRestart = false }: { isRestart?: boolean } = {}): Promise<ExitCode> {
  const files = await findState(config)
  const pid = runningPid(files.pid)
  if (pid === undefined) {
    process.stdout.write('Not running\n')
    return 0
  }
  const deadline = performance.now() + timeout * 1000
  await askToStop(files, pid, isRestart)
  if (await hasEnded(pid, deadline)) {
    process.stdout.write(`Stopped pid ${pid}\n`)
    return 0
  }
  if (force ?? isInContainer()) {
    process.kill(pid, 'SIGKILL')
    await hasEnded(pid, performance.now() + KILL_MS)
    process.stdout.write(`Killed pid ${pid}: it did not stop in ${timeout} s\n`)
    return 0
  }
  process.stderr.write(`sluice: pid ${pid} did not stop in ${timeout} s and still runs; use --force to kill it\n`)
  return 1
}

/** How long a killed process may take to disappear. */
const KILL_MS = 5_000
/** The system has no event for the end of a process that is not a child. */
const POLL_MS = 20
/** How long the server may take to confirm that it stops, before a signal says it again. */
const CONFIRM_MS = 2_000

/** By the control socket; by signal when nobody answers there. */
async function askToStop(files: StateFiles, pid: number, isRestart: boolean): Promise<void> {
  try {
    const client = await ControlClient.connect(files.socket)
    await client.call('stop', { restart: isRestart }, CONFIRM_MS)
    client.close()
  } catch {
    if (isAlive(pid)) process.kill(pid, 'SIGTERM')
  }
}

async function hasEnded(pid: number, deadline: number): Promise<boolean> {
  while (isAlive(pid)) {
    if (performance.now() >= deadline) return false
    await delay(POLL_MS)
  }
  return true
}

/** In a container the runtime kills everything after its own grace time anyway. */
function isInContainer(): boolean {
  return process.env['KUBERNETES_SERVICE_HOST'] !== undefined || existsSync('/.dockerenv') || existsSync('/run/.containerenv')
}
