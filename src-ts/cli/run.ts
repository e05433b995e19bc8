import { CommanderError } from 'commander'
import { createProgram } from './program.ts'

/** How a command ends. `start` in the foreground returns 0 as soon as it serves; the process goes on until it is stopped. */
export type ExitCode = 0 | 1 | 2

/** Runs one command line, without `node` and the script. Never rejects: what goes wrong is printed and becomes the exit code. */
export async function run(args: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = 0
  const program = createProgram(args, (code) => {
    exitCode = code
  })
  try {
    if (args.length === 0) {
      program.outputHelp({ error: true })
      return 2
    }
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    // Commander has printed its own; help and version come this way, too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const { printError } = await import('./print-error.ts')
    return printError(error)
  }
}
