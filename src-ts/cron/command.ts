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
    if (!send(child, 'SIGTERM')) return
    // The end of the thread does not wait for it: that kills by itself.
    killing = setTimeout(() => {
      send(child, 'SIGKILL')
      leave(child)
    }, KILL_MS).unref()
  }
  signal.addEventListener('abort', kill, { once: true })
  enter(child)
  try {
    const [code, by] = await ended(child)
    signal.throwIfAborted()
    if (code !== 0) throw sluiceError('ERR_SLUICE_CRON_COMMAND', `The command of cron job "${name}" ended ${by === null ? `with exit code ${code}` : `by ${by}`}`)
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw sluiceError('ERR_SLUICE_CRON_COMMAND', `The command of cron job "${name}" cannot be started: ${error.message}`, { cause: error })
  } finally {
    signal.removeEventListener('abort', kill)
    // What it has started may live on: when it was told to end that has its time, too; else it was left behind on purpose.
    if (killing === undefined || !send(child, 0)) {
      clearTimeout(killing)
      leave(child)
    }
  }
}

/** Those that are killed when the thread ends without waiting for them. */
const running = new Set<ChildProcess>()

function killAll(): void {
  for (const child of running) send(child, 'SIGKILL')
}

/** One listener for all: Node.js warns from the eleventh on. */
function enter(child: ChildProcess): void {
  if (running.size === 0) process.on('exit', killAll)
  running.add(child)
}

function leave(child: ChildProcess): void {
  if (running.delete(child) && running.size === 0) process.off('exit', killAll)
}

function ended(child: ChildProcess): Promise<[code: number | null, signal: string | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    // Not 'close': what it leaves behind in the background may keep its output open.
    child.once('exit', (code, signal) => resolve([code, signal]))
  })
}

/** To it and what it has started; 0 only looks. Whether any of it is there. */
function send(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL' | 0): boolean {
  if (child.pid === undefined) return false
  try {
    return process.platform === 'win32' ? child.kill(signal) : process.kill(-child.pid, signal)
  } catch {
    return false
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
