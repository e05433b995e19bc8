import type { ResolvedConfig } from '../options.ts'
import type { Server } from '../process/api.ts'
import { toFault, type ControlHandlers, type ControlFault } from '../process/control.ts'
import { sluiceVersion } from '../version.ts'
import { describeError } from './print-error.ts'
import type { Operation } from './server-state.ts'

/** The answers of the running server to the commands, by method. */
export interface ControlAnswers {
  ping: { pid: number }
  status: StatusAnswer
  info: InfoAnswer
  reload: { ok: boolean; rolledBack: boolean; error?: ControlFault }
  stop: { pid: number }
}

export interface StatusAnswer {
  pid: number
  name: string
  version: string | undefined
  /** Milliseconds since the process started. */
  uptime: number
  ports: { name: string; protocol: string; url: string }[]
  health: ReturnType<Server['health']>
  stats: ReturnType<Server['stats']>
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
  ports: { name: string; protocol: string; url: string }[]
}

export function controlHandlers(server: Server, config: ResolvedConfig, operation: Operation): ControlHandlers {
  const ports = () => server.ports.map(({ name, protocol, url }) => ({ name, protocol, url }))
  return {
    ping: (): ControlAnswers['ping'] => ({ pid: process.pid }),
    status: (): StatusAnswer => ({
      pid: process.pid,
      name: server.name,
      version: server.version,
      uptime: Math.round(process.uptime() * 1000),
      ports: ports(),
      health: server.health(),
      stats: server.stats(),
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
      ports: ports(),
    }),
    reload: async (params): Promise<ControlAnswers['reload']> => {
      const { ok, rolledBack, error } = await server.reload({ version: textParam(params, 'version') })
      // The stack is for the person who typed `sluice reload`; it does not survive the socket by itself.
      return { ok, rolledBack, ...(error && { error: { ...toFault(error), message: describeError(error) } }) }
    },
    stop: (params): ControlAnswers['stop'] => {
      operation.stop(numberParam(params, 'timeout'))
      return { pid: process.pid }
    },
  }
}

function param(params: unknown, name: string): unknown {
  return typeof params === 'object' && params !== null ? (params as Record<string, unknown>)[name] : undefined
}

function textParam(params: unknown, name: string): string | undefined {
  const value = param(params, name)
  if (value === undefined || (typeof value === 'string' && value.length <= 128)) return value
  throw new TypeError(`${name} must be a string of at most 128 characters`)
}

function numberParam(params: unknown, name: string): number | undefined {
  const value = param(params, name)
  if (value === undefined || (typeof value === 'number' && value >= 0 && value <= 2 ** 31 - 1)) return value
  throw new TypeError(`${name} must be a number of milliseconds`)
}
