import type { Server } from '../process/api.ts'
import { workerTitle } from '../process/place.ts'
import type { Logger } from './logger.ts'

/** Logs what happens to a running server that its operator must know of. */
export function logLife(server: Server, log: Logger): void {
  server.on('workerError', ({ worker, reason, exitCode, error, inflight, replayed }) => {
    log.error(`${workerTitle(worker)} ended: ${reason}`, { exitCode, inflight, replayed, ...(error && { err: error }) })
  })
  server.on('workerStart', ({ id, kind, reason }) => {
    const write = reason === 'start' ? log.debug : log.info
    write(`${workerTitle({ id, kind })} ${kind === 'worker' ? 'serves' : 'is ready'}`, { reason })
  })
  server.on('workerStop', (worker) => log.debug(`${workerTitle(worker)} has gone`))
  server.on('processStart', ({ kind, name, pid }) => log.info(`Process ${name} runs`, { kind, ...(kind !== 'thread' && { pid }) }))
  server.on('processStop', ({ name }) => log.debug(`Process ${name} has gone`))
  server.on('processError', ({ error, exitCode, process: { name }, reason, restartIn, signal }) => {
    const again = restartIn === undefined ? undefined : `it is started again in ${restartIn} ms`
    if (reason === 'stuck') {
      log.error(`Process ${name} hung, or did not go in its time, and was killed${again === undefined ? '' : `: ${again}`}`)
      return
    }
    const how = reason === 'exit' ? `exit code ${exitCode}` : (signal ?? reason)
    const write = reason === 'exit' && exitCode === 0 ? log.info : log.error
    write(`Process ${name} ended (${how}): ${again ?? 'it is left alone'}`, { ...(error && { err: error }) })
  })
  server.on('processOutput', ({ line, process, stream }) => {
    if (stream === 'stdout') log.info(line, { process })
    else log.warn(line, { process })
  })
  server.on('beforeReload', ({ version, only }) => log.info('Reloading', { version, only }))
  server.on('afterReload', ({ ok, rolledBack, error, ms }) => {
    if (ok) log.info(`Reloaded in ${Math.round(ms)} ms`)
    else log.error(rolledBack ? 'Reload rolled back: the previous code serves again' : 'Reload failed: the old code goes on', { ...(error && { err: error }) })
  })
  server.on('error', (error, { phase, task, worker }) => log.error(task === undefined ? `Error in ${phase}` : `Error in ${phase} "${task}"`, { worker, err: error }))
}
