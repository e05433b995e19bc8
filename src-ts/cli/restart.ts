import { askInfo } from './info.ts'
import type { StartFlags, StopFlags } from './program.ts'
import { run, type ExitCode } from './run.ts'
import { findState } from './state-dir.ts'
import { stop } from './stop.ts'

/** `sluice restart`: stop, and if that succeeded, start: with these arguments, else with those the server was started with. */
export async function restart(app: string | undefined, flags: StartFlags & StopFlags, args: readonly string[]): Promise<ExitCode> {
  // A server that does not answer is stopped all the same.
  const running = await askInfo((await findState(flags.config)).socket).catch(() => undefined)
  if (running?.inherited) {
    process.stderr.write('sluice: The server has inherited sockets, which a restart from here would lose; restart it by what started it\n')
    return 1
  }
  const before = args.length === 0 ? running : undefined
  const stopped = await stop(flags, { isRestart: true })
  if (stopped !== 0) return stopped
  if (before !== undefined) {
    process.chdir(before.cwd)
    return await run(['start', ...before.args])
  }
  const { start } = await import('./start.ts')
  return await start(app, flags, withoutStopOptions(args))
}

/** `start` does not know them. */
function withoutStopOptions(args: readonly string[]): string[] {
  return args.filter((arg, index) => !/^--(?:no-)?force$|^--timeout(?:=|$)/.test(arg) && args[index - 1] !== '--timeout')
}
