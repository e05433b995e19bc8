import { columns } from './columns.ts'
import { ControlClient } from './control-client.ts'
import type { StatusAnswer } from './control-handlers.ts'
import type { ProcessInfo } from '../process/custom/spec.ts'
import { codeOf } from './print-error.ts'
import type { StatusFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

/** A server whose master does not answer within this time is not well, whatever it does. */
const ANSWER_MS = 5_000

/** `sluice status`: exits with 1 when no server runs, with `--check` also when it is not ready. */
export async function status({ config, json, check }: StatusFlags): Promise<ExitCode> {
  const answer = await askStatus((await findState(config)).socket)
  if (check) return answer?.health.ready ? 0 : 1
  if (answer === undefined) {
    process.stdout.write(json ? '{"running":false}\n' : 'Not running\n')
    return 1
  }
  process.stdout.write(json ? `${JSON.stringify({ running: true, ...answer })}\n` : statusText(answer))
  return 0
}

async function askStatus(socket: string): Promise<StatusAnswer | undefined> {
  try {
    const client = await ControlClient.connect(socket)
    try {
      return (await client.call('status', undefined, ANSWER_MS)) as StatusAnswer
    } finally {
      client.close()
    }
  } catch (error) {
    if (codeOf(error) === 'ERR_SLUICE_NOT_RUNNING') return undefined
    throw error
  }
}

function statusText({ pid, name, version, uptime, ports, health, processes, stats }: StatusAnswer): string {
  const rows = stats.perWorker.filter(({ kind }) => kind !== 'process').map((worker) => {
    const state = health.workers.find(({ id }) => id === worker.id)?.status ?? '?'
    const does = worker.kind === 'worker' ? [worker.requests, worker.concurrency] : worker.kind === 'task' ? [worker.tasks, worker.tasking] : ['', '']
    return [worker.id, worker.kind, state, ...does, `${Math.round(worker.heapUsed / 2 ** 20)} MiB`, `${Math.round(worker.elu * 100)} %`, duration(worker.uptime)]
  })
  return [
    `${name}${version === undefined ? '' : ` ${version}`}, pid ${pid}, up ${duration(uptime)}: ${health.ready ? 'ready' : `not ready (${health.reason ?? 'starting'})`}`,
    ...ports.map((port) => `${port.protocol.padEnd(6)} ${port.url}${port.error === undefined ? '' : `  not bound: ${port.error}`}`),
    `requests ${stats.requestCount}, in flight ${stats.concurrency}, connections ${stats.connections}, reloads ${stats.reloads}, crashes ${stats.crashes}, replayed ${stats.replayed}`,
    '',
    ...columns([['worker', 'kind', 'state', 'done', 'in hand', 'heap', 'busy', 'up'], ...rows]),
    ...(processes.length === 0 ? [] : ['', ...columns([['process', 'kind', 'state', 'pid', 'restarts', 'up'], ...processes.map(processRow)])]),
    '',
  ].join('\n')
}

function processRow({ kind, name, pid, restarts, since, status }: ProcessInfo): (string | number)[] {
  return [name, kind, status, kind === 'thread' ? '' : (pid ?? ''), restarts, since === undefined ? '' : duration(Date.now() - since)]
}

function duration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`
}
