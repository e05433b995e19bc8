import { sluiceError } from '../../errors.ts'
import type { DetachedRequest } from '../../http/detached.ts'
import { attachTable } from '../../table/attach-table.ts'
import type { Tables } from '../../table/configured-tables.ts'
import type { HealthReport, Server, ServerStats, WorkerInfo } from '../api.ts'
import type { Lifecycle } from '../lifecycle.ts'
import { LinkedServer } from '../linked-server.ts'
import type { MasterLink } from '../master-link.ts'
import type { Receiver } from '../messages.ts'
import type { ChildBoot } from './child-boot.ts'
import type { SyncCalls } from './sync-calls.ts'

/** To the core the calls of a process of its own are the master's, which puts the server's number in. */
const NO_SERVER = 0
const NO_WORKER = -1

/** The running server as a Node.js process of its own sees it: as a thread does, but that native calls are made by the master, `remote-native.ts`. */
export class ChildServer extends LinkedServer implements Server {
  readonly tables: Tables
  readonly #calls: Pick<SyncCalls, 'call'>
  readonly #link: MasterLink

  constructor(boot: ChildBoot, worker: WorkerInfo, tables: Tables, { calls, ...surroundings }: { readonly calls: Pick<SyncCalls, 'call'>; readonly link: MasterLink; readonly lifecycle: Lifecycle; readonly signal: AbortSignal }) {
    super({ boot, processes: boot.names, worker, ...surroundings })
    this.tables = tables
    this.#calls = calls
    this.#link = surroundings.link
  }

  stats(): ServerStats {
    return this.#calls.call('stats', []) as ServerStats
  }

  health(): HealthReport {
    return this.#calls.call('health', []) as HealthReport
  }

  async respond(_request: DetachedRequest, _response: Response): Promise<boolean> {
    throw sluiceError('ERR_SLUICE_INVALID_STATE', 'server.respond() is for workers; send what the answer is made of to one with server.postMessage()')
  }

  postMessage(to: Receiver, data: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.#link.send(to, data, [])
    // A copy has crossed; what was given away is given away.
    for (const buffer of transfer) structuredClone(buffer, { transfer: [buffer] })
  }

  protected coreServer(): number {
    return NO_SERVER
  }

  protected coreWorker(): number {
    return NO_WORKER
  }
}

/** The files of the server's tables, where it has a state directory that was named; without, asking for one throws. */
export async function attachTables({ stateDir, tables }: Pick<ChildBoot, 'stateDir' | 'tables'>): Promise<Tables> {
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
