import { ControlClient } from './control-client.ts'
import type { StartFlags, StopFlags } from './program.ts'
import { run, type ExitCode } from './run.ts'
import { findState } from './state-dir.ts'
import { stop } from './stop.ts'

/** `sluice restart`: stop, and if that succeeded, start: with these arguments, else with those the server was started with. */
export async function restart(app: string | undefined, flags: StartFlags & StopFlags, args: readonly string[]): Promise<ExitCode> {
  const before = args.length === 0 ? await commandLineOfRunning(flags.config) : undefined
  const stopped = await stop(flags, { isRestart: true })
  if (stopped !== 0) return stopped
  if (before !== undefined) {
    process.chdir(before.cwd)
    return await run(['start', ...before.args])
  }
  const { start } = await import('./start.ts')
  return await start(app, flags, withoutStopOptions(args))
}

async function commandLineOfRunning(config: string | undefined): Promise<{ cwd: string; args: string[] } | undefined> {
  const files = await findState(config)
  const client = await ControlClient.connect(files.socket).catch(() => undefined)
  try {
    const info = (await client?.call('info')) as { cwd: string; args: string[] } | undefined
    return info && { cwd: info.cwd, args: info.args }
  } finally {
    client?.close()
  }
}

/** `start` does not know them. */
function withoutStopOptions(args: readonly string[]): string[] {
  return args.filter((arg, index) => !/^--(?:no-)?force$|^--timeout(?:=|$)/.test(arg) && args[index - 1] !== '--timeout')
}
