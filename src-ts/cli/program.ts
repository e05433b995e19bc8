/**
 * The commands of `sluice`, their options and their help. Each command's code is imported when it runs, so that `start` loads
 * nothing it does not need. `docs/reference/cli.md` lists the same; a test compares the two.
 */
import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { sluiceVersion } from '../version.ts'
import type { ReloadTarget } from '../process/api.ts'
import { parsePushTarget } from './push-target.ts'
import type { ExitCode } from './run.ts'

/** `args`: the whole command line, kept so that a server can be started again in the same way. `exit` takes the command's exit code. */
export function createProgram(args: readonly string[], exit: (code: ExitCode) => void): Command {
  const program = new Command('sluice')
    .description('The application server for Node.js')
    .version(sluiceVersion, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .showSuggestionAfterError()
    .exitOverride()

  startOptions(program.command('start').description('start a server'))
    .argument('[app]', 'module whose default export is the app; without it, the one in the configuration')
    .action(async (app: string | undefined, flags: StartFlags) => {
      const { start } = await import('./start.ts')
      exit(await start(app, flags, args.slice(1)))
    })

  stopOptions(program.command('stop').description('stop the server gracefully; not running is no error')).action(async (flags: StopFlags) => {
    const { stop } = await import('./stop.ts')
    exit(await stop(flags))
  })

  stopOptions(startOptions(program.command('restart').description('stop, then start; without arguments as it was started before')))
    .argument('[app]', 'as for start')
    .action(async (app: string | undefined, flags: StartFlags & StopFlags) => {
      const { restart } = await import('./restart.ts')
      exit(await restart(app, flags, args.slice(1)))
    })

  whereOptions(program.command('reload').description('replace the code of all workers without losing a request'))
    .addOption(new Option('--only <kind...>', 'replace only these, the others go on with their code').choices(['workers', 'tasks', 'cron', 'processes']))
    .addOption(timeoutOption('how long to wait for the new code, in seconds', 300))
    .action(async (flags: ReloadFlags) => {
      const { reload } = await import('./reload.ts')
      exit(await reload(flags))
    })

  whereOptions(program.command('status').description('show the running server, its workers and counters'))
    .option('--json', 'print one JSON object')
    .option('--check', 'print nothing; exit with 0 only if the server is ready')
    .action(async (flags: StatusFlags) => {
      const { status } = await import('./status.ts')
      exit(await status(flags))
    })

  whereOptions(program.command('info').description('show versions, the configuration file and the addresses'))
    .option('--json', 'print one JSON object')
    .action(async (flags: InfoFlags) => {
      const { info } = await import('./info.ts')
      exit(await info(flags))
    })

  whereOptions(program.command('push').description('send a message to WebSockets of the running server'))
    .addArgument(new Argument('<target>', 'id of a connection, uid:NAME, group:NAME, topic:NAME or all').argParser(checkedTarget))
    .argument('[data]', 'the message, as text')
    .option('--binary-file <file>', 'send the bytes of this file instead')
    .option('--json', 'print one JSON object')
    .action(async (target: string, data: string | undefined, flags: PushFlags) => {
      const { push } = await import('./push.ts')
      exit(await push(target, data, flags))
    })

  whereOptions(program.command('tasks').description('show the queues of the running server, its failed tasks, or try these again'))
    .option('--failed', 'list the failed tasks that are kept')
    .addOption(new Option('--retry <id>', 'deliver a failed task again, or "all"').argParser(checkedTask))
    .addOption(new Option('--forget <id>', 'forget a failed task, or "all"').argParser(checkedTask).conflicts('retry'))
    .option('--json', 'print one JSON object')
    .action(async (flags: TasksFlags) => {
      const { tasks } = await import('./tasks.ts')
      exit(await tasks(flags))
    })

  whereOptions(program.command('publish').description('print the configuration of a proxy in front of the server'))
    .addArgument(new Argument('<proxy>', 'what it is for').choices(['nginx', 'apache', 'caddy', 'haproxy']))
    .option('-o, --output <file>', 'write it to this file')
    .option('--server-name <name>', 'host name that clients use; any without it')
    .option('--upstream <address...>', 'further servers of the same app: host:port or the path of a socket')
    .action(async (proxy: string, flags: PublishFlags) => {
      const { publish } = await import('./publish.ts')
      exit(await publish(proxy, flags))
    })

  whereOptions(program.command('cron').description('list the cron jobs of the running server, or run one now'))
    .option('--run <name>', 'run this job now, beside its times')
    .option('--json', 'print JSON')
    .action(async (flags: CronFlags) => {
      const { cron } = await import('./cron.ts')
      exit(await cron(flags))
    })

  whereOptions(program.command('table').description('list the tables of the running server, or show rows of one'))
    .argument('[name]', 'the table')
    .option('--state-dir <dir>', 'state directory of the server')
    .option('--key <key>', 'show the row with this key')
    .option('--prefix <text>', 'show the rows whose keys begin with this')
    .addOption(new Option('--limit <n>', 'show so many rows at most').argParser(checkedLimit))
    .option('--json', 'print JSON, one object per line for rows')
    .action(async (name: string | undefined, flags: TableFlags) => {
      const { table } = await import('./table.ts')
      exit(await table(name, flags))
    })

  return program
}

export interface WhereFlags {
  config?: string
}

export interface StartFlags extends WhereFlags {
  daemonize?: true
  env?: string
  ignore?: true
  xVersion?: string
  workers?: string
  port?: string
  host?: string
  /** False with `--no-state`. */
  state: boolean
}

export interface StopFlags extends WhereFlags {
  /** Seconds. */
  timeout: number
  /** Undefined when neither `--force` nor `--no-force` was given. */
  force?: boolean
}

export interface ReloadFlags extends WhereFlags {
  only?: ReloadTarget[]
  /** Seconds. */
  timeout: number
}

export interface StatusFlags extends WhereFlags {
  json?: true
  check?: true
}

export interface InfoFlags extends WhereFlags {
  json?: true
}

export interface CronFlags extends WhereFlags {
  run?: string
  json?: true
}

export interface PushFlags extends WhereFlags {
  binaryFile?: string
  json?: true
}

export interface TasksFlags extends WhereFlags {
  failed?: true
  retry?: string
  forget?: string
  json?: true
}

export interface PublishFlags extends WhereFlags {
  output?: string
  serverName?: string
  upstream?: string[]
}

export interface TableFlags extends WhereFlags {
  stateDir?: string
  key?: string
  prefix?: string
  limit?: number
  json?: true
}

function checkedTask(text: string): string {
  if (text === 'all' || /^[1-9]\d{0,15}$/.test(text)) return text
  throw new InvalidArgumentError('It must be the id of a task, or "all".')
}

function checkedLimit(text: string): number {
  const limit = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(limit)) return limit
  throw new InvalidArgumentError('It must be a number of rows.')
}

/** A wrong target is found before anybody is asked; the server checks it again. */
function checkedTarget(text: string): string {
  try {
    parsePushTarget(text)
    return text
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

function whereOptions(command: Command): Command {
  return command.option('-c, --config <file>', 'configuration file, instead of sluice.config.{ts,mts,js,mjs,json} here')
}

function startOptions(command: Command): Command {
  return whereOptions(command)
    .option('-d, --daemonize', 'run in the background; returns when the server is ready')
    .option('-e, --env <name>', 'name of the environment: loads .env.<name>, then .env')
    .option('-i, --ignore', 'start even if the pid file says that a server runs')
    .option('-x, --x-version <version>', 'version of your code, for server.version and X_VERSION')
    .option('--workers <n>', 'number of worker threads, "auto" or "max"')
    .option('--port <port>', 'port of the first address, 0 for a free one')
    .option('--host <host>', 'host of the first address')
    .option('--no-state', 'write no pid file and open no control socket')
}

function stopOptions(command: Command): Command {
  if (!command.options.some((option) => option.long === '--config')) whereOptions(command)
  return command
    .addOption(timeoutOption('how long to wait for the end, in seconds', 60))
    .option('--force', 'kill the server when the time is up (the default in a container)')
    .option('--no-force', 'do not kill it, but exit with 1')
}

function timeoutOption(description: string, seconds: number): Option {
  return new Option('--timeout <s>', description).default(seconds).argParser((text) => {
    const parsed = Number(text)
    if (/^\d+(?:\.\d+)?$/.test(text) && parsed <= 86_400) return parsed
    throw new InvalidArgumentError('It must be a number of seconds from 0 to 86400.')
  })
}
