import { attachTable } from '../../table/attach-table.ts'
import type { Tables } from '../../table/configured-tables.ts'
import { sluiceError } from '../../errors.ts'
import type { Lifecycle } from '../lifecycle.ts'
import { fromRecord } from '../error-record.ts'
import type { MasterLink } from '../master-link.ts'
import type { LifecycleEvents, LifecycleHandler, ReloadOptions, ReloadResult, Server, WorkerInfo } from '../api.ts'
import type { Receiver } from '../messages.ts'
import type { ChildBoot } from './child-boot.ts'
import { processHandle } from './handle.ts'
import { remoteMethods, timerMethods, type ProcessInfo, type RemoteServer } from './spec.ts'

/** The running server as a Node.js process of its own sees it: every call goes to the master and gives a promise. */
export async function remoteServer(boot: ChildBoot, link: MasterLink, lifecycle: Lifecycle, signal: AbortSignal): Promise<Server> {
  const invoke =
    (method: string) =>
    (...args: unknown[]): Promise<unknown> =>
      link.ask({ op: 'invoke', method, args })
  const worker: WorkerInfo = { id: boot.id, kind: 'process', name: boot.name, version: boot.version, threadId: 0, status: 'busy' }
  const own = {
    name: boot.serverName,
    version: boot.version,
    worker,
    signal,
    url: boot.url,
    tables: await attachTables(boot),
    process: (name: string) => processHandle(name, boot.names, link),
    processes: async () => (await link.ask({ op: 'infos' })) as readonly ProcessInfo[],
    postMessage: (to: Receiver, data: unknown) => link.send(to, data, []),
    on<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>, options?: { signal?: AbortSignal; once?: boolean }) {
      lifecycle.on(event, handler, options)
      return this
    },
    off<K extends keyof LifecycleEvents>(event: K, handler: LifecycleHandler<K>) {
      lifecycle.off(event, handler)
      return this
    },
    reload: async ({ only, signal: abandon, version }: ReloadOptions = {}): Promise<ReloadResult> => {
      abandon?.throwIfAborted()
      const { error, ok = false, rolledBack = false } = (await link.call({ method: 'reload', version, only })) ?? {}
      return { ok, rolledBack, ...(error && { error: fromRecord(error) }) }
    },
    deliver: invoke('deliver'),
    run: invoke('run'),
    stopWorker: async (id: number = boot.id) => void (await link.call({ method: 'stopWorker', worker: id })),
    shutdown: async ({ timeout }: { timeout?: number } = {}) => void (await link.call({ method: 'shutdown', timeout })),
    ...Object.fromEntries(remoteMethods.map((method) => [method, invoke(method)])),
    timer: Object.fromEntries(timerMethods.map((method) => [method, invoke(`timer.${method}`)])),
  }
  return own satisfies Partial<Record<keyof RemoteServer, unknown>> as unknown as Server
}

/** Their files, where the server has a state directory that was named; without, asking for one throws. */
async function attachTables({ stateDir, tables }: ChildBoot): Promise<Tables> {
  const attached: Record<string, unknown> = {}
  for (const [name, { columns, onOverflow }] of Object.entries(tables)) {
    if (stateDir !== undefined) attached[name] = await attachTable(name, { stateDir, columns, onOverflow })
    else {
      Object.defineProperty(attached, name, {
        get() {
          throw sluiceError('ERR_SLUICE_INVALID_STATE', 'The tables of a server can be attached by a process of its own only if its state directory is named: `stateDir`')
        },
      })
    }
  }
  return attached as Tables
}
