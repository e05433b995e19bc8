import { basename } from 'node:path'
import { sluiceTypeError } from '../errors.ts'
import type { ResolvedConfig } from '../options.ts'
import { handleSignals } from '../process/signals.ts'
import type { Account } from '../process/privileges.ts'
import type { ReloadOptions, Server } from '../process/api.ts'
import { hasColour, painter } from './colour.ts'
import { createOutputLogger, type Logger } from './logger.ts'
import type { LogFile } from './log-file.ts'
import { logLife } from './life-log.ts'
import { codeOf } from './print-error.ts'
import type { StartFlags } from './program.ts'
import { resolveConfig } from './resolve-config.ts'
import type { ExitCode } from './run.ts'
import { ServerState, type StopOptions } from './server-state.ts'
import { stateFiles } from './state-dir.ts'

/** `sluice start`: serves until a signal or `sluice stop` ends it. `args`: the command line behind `start`, to repeat it. */
export async function start(app: string | undefined, flags: StartFlags, args: readonly string[]): Promise<ExitCode> {
  const config = await resolveConfig(app, flags)
  if (config.app === undefined) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', 'app is required: `sluice start app.js`, or `app` in sluice.config.js')
  }
  if (config.daemon) {
    const { daemonize, takeBackgroundMark } = await import('./daemonize.ts')
    if (!takeBackgroundMark()) {
      const log = config.log.file ?? (config.stateDir === false ? undefined : stateFiles(config.stateDir).log)
      // In the background it would be another process, with descriptors of its own.
      if (config.ports.some(({ listen }) => 'fd' in listen)) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', 'A server with inherited sockets (`fd`) cannot go to the background: whoever opened them runs it in the foreground')
      if (log === undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', 'log.file is required to run in the background without a state directory')
      return (await runningAlready(config, flags)) ? 1 : await daemonize(args, log)
    }
  }
  return await serve(config, flags, args)
}

async function serve(config: ResolvedConfig, flags: StartFlags, args: readonly string[]): Promise<ExitCode> {
  process.title = config.name ?? `${basename(config.root)} sluice: master`
  // A terminal or a pipe that goes away must not take the server with it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const logFile = await openLog(config)
  const log = createOutputLogger(config.log)

  const state = ServerState.claim(config, { isIgnored: flags.ignore === true })
  if (typeof state === 'number') return refuse(state)

  let server: Server | undefined
  const stop = async (why: string, options: StopOptions = {}): Promise<void> => {
    if (server === undefined) {
      // Nothing was accepted yet, so nothing can be lost.
      state.release()
      process.exit(0)
    }
    log.info(`Stopping: ${why}`)
    try {
      await server.shutdown(options)
      log.info('Stopped')
      leave(state, 0)
    } catch (error) {
      log.error('The server did not stop cleanly', { err: error })
      leave(state, 1)
    }
  }
  let wanted: ReloadOptions | undefined
  const reload = (options: ReloadOptions = {}): void => {
    // All of them, whatever was wanted before.
    if (server === undefined) wanted = wanted === undefined || options.only === undefined ? options : wanted
    // Its outcome is logged by logLife(); a refusal (the server is stopping) is not of interest.
    else server.reload(options).catch((error: unknown) => log.warn('No reload', { err: error }))
  }
  handleSignals({
    stop: (signal) => void stop(signal),
    stopNow: (signal, exitCode) => {
      log.warn(`Stopping now: a second ${signal}`)
      leave(state, exitCode)
    },
    reload: () => reload(),
    reloadTasks: () => {
      if (config.tasks.workers > 0 || config.tasks.queues.some(({ workers }) => workers > 0)) reload({ only: ['tasks'] })
      else log.info('There are no task workers to reload')
    },
    reopenLogs: () => logFile?.reopen(),
  })

  try {
    const account = await accountOfServer(config)
    if (account) {
      state.giveTo(account)
      logFile?.giveTo(account)
    }
    const { createServer } = await import('../server.ts')
    server = await createServer(config)
  } catch (error) {
    state.release()
    await explainListen(error, config)
    throw error
  }
  announce(server, config, log)
  logLife(server, log)
  if (wanted) reload(wanted)
  await state.open(server, config, { args, stop: (options) => void stop(options.closeCode === undefined ? 'sluice stop' : 'sluice restart', options) }, log)
  if (config.daemon) (await import('./daemonize.ts')).reportReady()
  return 0
}

async function accountOfServer(config: ResolvedConfig): Promise<Account | undefined> {
  if (config.user === undefined && config.group === undefined) return undefined
  const [{ accountOf }, { native }] = await Promise.all([import('../process/privileges.ts'), import('../native.ts')])
  return accountOf(config, native)
}

/** The end of the master: whatever threads still run end with it. */
function leave(state: ServerState, exitCode: number): never {
  state.release()
  process.exit(exitCode)
}

function announce(server: Server, config: ResolvedConfig, log: Logger): void {
  const ports = server.ports.map(({ protocol, url, address, error }) => ({ protocol, url, address, error }))
  const facts = { milliseconds: performance.now(), workers: config.workers, pid: process.pid, name: config.name, ports }
  if (config.log.format === 'json') {
    log.info('ready', { ms: Math.round(facts.milliseconds), workers: facts.workers, urls: ports.filter(({ error }) => error === undefined).map(({ url }) => url) })
    return
  }
  // Imported here: with JSON lines nobody pays for it.
  void import('./ready-block.ts').then(({ readyBlock }) => process.stdout.write(readyBlock(facts, painter(hasColour(process.stdout)))))
}

async function openLog(config: ResolvedConfig): Promise<LogFile | undefined> {
  const path = config.log.file ?? (config.daemon && config.stateDir !== false ? stateFiles(config.stateDir).log : undefined)
  if (path === undefined) return undefined
  const { LogFile } = await import('./log-file.ts')
  const file = new LogFile(path)
  file.captureOutput()
  return file
}

async function runningAlready(config: ResolvedConfig, flags: StartFlags): Promise<boolean> {
  if (config.stateDir === false || flags.ignore) return false
  const { runningPid } = await import('../process/pid-file.ts')
  const pid = runningPid(stateFiles(config.stateDir).pid)
  if (pid !== undefined) refuse(pid)
  return pid !== undefined
}

function refuse(pid: number): ExitCode {
  process.stderr.write(`sluice: Already running with pid ${pid}. Use \`sluice restart\`, \`sluice stop\`, or \`sluice start -i\` for one more\n`)
  return 1
}

/** Names the process that holds the port, where the system tells. The error itself names the address. */
async function explainListen(error: unknown, config: ResolvedConfig): Promise<void> {
  if (codeOf(error) !== 'ERR_SLUICE_LISTEN') return
  const { portHolder } = await import('./port-holder.ts')
  for (const { listen } of config.ports) {
    const holder = 'port' in listen && listen.port !== 0 ? portHolder(listen.port) : undefined
    if (holder && 'port' in listen && holder.pid !== process.pid) {
      process.stderr.write(`sluice: Port ${listen.port} is held by pid ${holder.pid} (${holder.name}); choose another with --port\n`)
    }
  }
}
