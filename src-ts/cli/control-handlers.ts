import type { CronJobInfo, CronTrigger } from '../cron/cron-jobs.ts'
import type { ResolvedConfig } from '../options.ts'
import type { ReloadTarget, Server } from '../process/api.ts'
import type { ProcessInfo } from '../process/custom/spec.ts'
import { toFault, type ControlHandlers, type ControlFault } from '../process/control.ts'
import type { FailedTaskInfo, QueueInfo } from '../tasks/shared-tasks.ts'
import { sluiceVersion } from '../version.ts'
import { describeError } from './print-error.ts'
import { parsePushTarget } from './push-target.ts'
import type { Operation } from './server-state.ts'

/** The answers of the running server to the commands, by method. */
export interface ControlAnswers {
  ping: { pid: number }
  status: StatusAnswer
  info: InfoAnswer
  reload: { ok: boolean; rolledBack: boolean; error?: ControlFault }
  stop: { pid: number }
  /** How many connections the message was meant for. */
  push: { connections: number }
  tasks: TasksAnswer
  cron: { jobs: CronJobInfo[] }
  runCron: { trigger: CronTrigger }
}

/** What `push` is called with: a target as {@link parsePushTarget} reads it, and a text or bytes. */
export interface PushParams {
  readonly target: string
  readonly text?: string
  readonly base64?: string
}

/** What `tasks` is called with; without anything it only lists. */
export interface TasksParams {
  /** The id of a failed task, or `all`. */
  readonly retry?: string
  readonly forget?: string
}

/** {@link TaskList}, and how many failed tasks were tried again or forgotten before it was made. */
export interface TasksAnswer {
  readonly queues: readonly QueueInfo[]
  readonly failed: readonly (Omit<FailedTaskInfo, 'error' | 'failedAt'> & { readonly error: ControlFault; readonly failedAt: string })[]
  readonly changed: number
}

export interface PortAnswer {
  name: string
  protocol: string
  url: string
  tls: boolean
  /** Why an optional port is not bound. */
  error?: string
}

export interface StatusAnswer {
  pid: number
  name: string
  version: string | undefined
  /** Milliseconds since the process started. */
  uptime: number
  ports: PortAnswer[]
  health: ReturnType<Server['health']>
  stats: ReturnType<Server['stats']>
  processes: readonly ProcessInfo[]
}

export interface InfoAnswer {
  pid: number
  sluice: string
  node: string
  platform: string
  cwd: string
  /** The command line behind `start`. */
  args: readonly string[]
  configFile: string | undefined
  workers: number
  reactors: number
  /** It has sockets that only whoever started it can hand to a next one. */
  inherited: boolean
  ports: PortAnswer[]
}

export function controlHandlers(server: Server, config: ResolvedConfig, operation: Operation): ControlHandlers {
  const ports = () => server.ports.map(({ name, protocol, url, error, isSecure }) => ({ name, protocol, url, tls: isSecure, ...(error && { error: error.message }) }))
  return {
    ping: (): ControlAnswers['ping'] => ({ pid: process.pid }),
    status: async (): Promise<StatusAnswer> => ({
      pid: process.pid,
      name: server.name,
      version: server.version,
      uptime: Math.round(process.uptime() * 1000),
      ports: ports(),
      health: server.health(),
      stats: server.stats(),
      processes: await server.processes(),
    }),
    info: (): InfoAnswer => ({
      pid: process.pid,
      sluice: sluiceVersion,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      cwd: process.cwd(),
      args: operation.args,
      configFile: config.source,
      workers: config.workers,
      reactors: config.core.threads,
      inherited: config.ports.some(({ listen }) => 'fd' in listen),
      ports: ports(),
    }),
    reload: async (params): Promise<ControlAnswers['reload']> => {
      const { ok, rolledBack, error } = await server.reload({ version: textParam(params, 'version'), only: param(params, 'only') as ReloadTarget[] | undefined })
      // The stack is for the person who typed `sluice reload`; it does not survive the socket by itself.
      return { ok, rolledBack, ...(error && { error: { ...toFault(error), message: describeError(error) } }) }
    },
    stop: (params): ControlAnswers['stop'] => {
      const timeout = numberParam(params, 'timeout')
      operation.stop({ ...(timeout !== undefined && { timeout }), ...(flagParam(params, 'restart') && { closeCode: SERVICE_RESTART }) })
      return { pid: process.pid }
    },
    cron: (): ControlAnswers['cron'] => ({ jobs: server.cron.list() }),
    runCron: (params): ControlAnswers['runCron'] => ({ trigger: server.cron.run(textParam(params, 'name', CRON_NAME_LENGTH_MAX) ?? '') }),
    push: (params): ControlAnswers['push'] => ({ connections: pushTo(server, params) }),
    tasks: (params): ControlAnswers['tasks'] => {
      const changed = each(server, textParam(params, 'retry'), (id) => server.tasks.retry(id)) + each(server, textParam(params, 'forget'), (id) => server.tasks.forget(id))
      const { queues, failed } = server.tasks.list()
      return { queues, failed: failed.slice(-FAILED_MAX).map(({ error, failedAt, ...task }) => ({ ...task, error: toFault(error), failedAt: failedAt.toISOString() })), changed }
    },
  }
}

/** What a server that comes back says to its WebSockets (RFC 6455 section 7.4.1, IANA). */
const SERVICE_RESTART = 1012
/** Longest name of a cron job in characters. */
const CRON_NAME_LENGTH_MAX = 240
/** Longest target in characters, more than {@link parsePushTarget} takes. */
const TARGET_LENGTH_MAX = 512

/** Failed tasks in one answer, the latest: a line has an end. */
const FAILED_MAX = 500

/** How many failed tasks something was done to: to one, or to `all`. */
function each(server: Server, id: string | undefined, act: (id: string) => boolean): number {
  if (id === undefined) return 0
  return (id === 'all' ? server.tasks.list().failed.map((task) => task.id) : [id]).filter(act).length
}

function pushTo(server: Server, params: unknown): number {
  const target = parsePushTarget(textParam(params, 'target', TARGET_LENGTH_MAX) ?? '')
  const data = messageParam(params)
  switch (target.kind) {
    case 'id':
      // What is sent to an event stream by its id would have to be an event already.
      return server.isEstablished(target.id) && server.push(target.id, data) !== 0 ? 1 : 0
    case 'uid':
      return server.sendToUid(target.name, data)
    case 'group':
      return server.sendToGroup(target.name, data)
    case 'topic':
      return server.publish(target.name, data)
    case 'all':
      return server.broadcast(data)
  }
}

/** The message of a push; its length is bounded by that of a request. */
function messageParam(params: unknown): string | Uint8Array {
  const text = param(params, 'text')
  const base64 = param(params, 'base64')
  if (typeof text === 'string' && base64 === undefined) return text
  if (typeof base64 === 'string' && text === undefined && base64.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(base64)) return Buffer.from(base64, 'base64')
  throw new TypeError('A message is either `text` or `base64`')
}

function param(params: unknown, name: string): unknown {
  return typeof params === 'object' && params !== null ? (params as Record<string, unknown>)[name] : undefined
}

function textParam(params: unknown, name: string, lengthMax = 128): string | undefined {
  const value = param(params, name)
  if (value === undefined || (typeof value === 'string' && value.length <= lengthMax)) return value
  throw new TypeError(`${name} must be a string of at most ${lengthMax} characters`)
}

function flagParam(params: unknown, name: string): boolean {
  const value = param(params, name)
  if (value === undefined || typeof value === 'boolean') return value === true
  throw new TypeError(`${name} must be true or false`)
}

function numberParam(params: unknown, name: string): number | undefined {
  const value = param(params, name)
  if (value === undefined || (typeof value === 'number' && value >= 0 && value <= 2 ** 31 - 1)) return value
  throw new TypeError(`${name} must be a number of milliseconds`)
}
