import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import { defineCron } from './define-cron.ts'
import { parseInterval } from './interval.ts'
import type { CronContext, CronDef } from './job.ts'

/** How a {@link defineCommandCron} job is run beside its times. */
export interface CommandCronOptions extends Pick<CronDef, 'timeZone' | 'immediate' | 'overlap' | 'missed' | 'timeout'> {
  /** @default the command */
  readonly name?: string | undefined
  /** Where it runs. @default the working directory of the server */
  readonly cwd?: string | undefined
  /** Its environment. @default that of the server */
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** What a command gets after SIGTERM, in milliseconds. */
const KILL_MS = 5000
/** Longest line of its output that is logged in one piece, in characters. */
const LINE_MAX = 8192

/**
 * Defines a cron job that runs a command: a text goes through the shell, a list is a program with its arguments. What it writes goes to the output of the
 * server, line by line, with the job's name before it. An end other than 0 is a failure, ERR_SLUICE_CRON_COMMAND. On a time-out, and when the cron worker must go,
 * it and what it has started get SIGTERM, and SIGKILL five seconds later.
 *
 * @param times an expression as {@link CronDef.cron}, or an interval as {@link CronDef.every}
 * @throws TypeError ERR_SLUICE_CRON
 */
export function defineCommandCron(command: string | readonly [program: string, ...args: string[]], times: string | number, options: CommandCronOptions = {}): CronDef {
  const parts = typeof command === 'string' ? [command] : command
  if (!Array.isArray(parts) || parts.length === 0 || parts[0] === '' || !parts.every((part) => typeof part === 'string')) {
    throw sluiceTypeError('ERR_SLUICE_CRON', 'The command of a cron job must be a text, or a list of a program and its arguments')
  }
  const { name = parts.join(' '), cwd, env, ...rest } = options
  const isExpression = typeof times === 'string' && parseInterval(times) === undefined
  const run = (ctx: CronContext): Promise<void> => runCommand(name, parts, { cwd, ...(env && { env: { ...env } }), shell: typeof command === 'string' }, ctx.signal)
  return defineCron({ name, ...rest, ...(isExpression ? { cron: times } : { every: times }), run })
}

async function runCommand(name: string, [program = '', ...args]: readonly string[], options: SpawnOptions, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  // Here, not at the top: only the cron worker runs commands, but every thread reads the configuration.
  const { spawn } = await import('node:child_process')
  // A group of its own, so that what it starts goes with it. Windows has none.
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: process.platform !== 'win32', windowsHide: true })
  logLines(child.stdout, (line) => process.stdout.write(`[${name}] ${line}\n`))
  logLines(child.stderr, (line) => process.stderr.write(`[${name}] ${line}\n`))
  let killing: NodeJS.Timeout | undefined
  const kill = (): void => {
    send(child, 'SIGTERM')
    killing ??= setTimeout(() => send(child, 'SIGKILL'), KILL_MS)
  }
  const leave = (): void => send(child, 'SIGKILL')
  signal.addEventListener('abort', kill, { once: true })
  // The thread may end without waiting for us.
  process.once('exit', leave)
  try {
    const [code, by] = await ended(child)
    signal.throwIfAborted()
    if (code !== 0) throw sluiceError('ERR_SLUICE_CRON_COMMAND', `The command of cron job "${name}" ended ${by === null ? `with exit code ${code}` : `by ${by}`}`)
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw sluiceError('ERR_SLUICE_CRON_COMMAND', `The command of cron job "${name}" cannot be started: ${error.message}`, { cause: error })
  } finally {
    clearTimeout(killing)
    signal.removeEventListener('abort', kill)
    process.off('exit', leave)
  }
}

function ended(child: ChildProcess): Promise<[code: number | null, signal: string | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    // Not 'close': what it leaves behind in the background may keep its output open.
    child.once('exit', (code, signal) => resolve([code, signal]))
  })
}

/** To it and what it has started. It may be gone already. */
function send(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (child.pid === undefined) return
  try {
    if (process.platform === 'win32') child.kill(signal)
    else process.kill(-child.pid, signal)
  } catch {
    // It has ended.
  }
}

function logLines(stream: NodeJS.ReadableStream | null, write: (line: string) => void): void {
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) write(line)
    for (; rest.length > LINE_MAX; rest = rest.slice(LINE_MAX)) write(rest.slice(0, LINE_MAX))
  })
  stream?.on('end', () => {
    if (rest !== '') write(rest)
  })
}
