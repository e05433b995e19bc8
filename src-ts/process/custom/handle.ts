import { sluiceError, sluiceTypeError } from '../../errors.ts'
import type { ProcessCall } from './calls.ts'
import { pipe } from './pipe.ts'
import type { PipeKind, ProcessHandle, ProcessInfo, ProcessQueue } from './spec.ts'

/** A line to the master, or the master itself. Rejects with the master's error, with the signal's reason when that aborts first. */
export interface Asker {
  ask(call: ProcessCall, signal?: AbortSignal): Promise<unknown>
}

/** What is known everywhere of one instance. */
export interface ProcessName {
  readonly name: string
  readonly pipe: PipeKind
}

/** How long a request waits for its answer, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000
/** The longest delay that Node's timers can hold. */
const TIMER_MAX = 2 ** 31 - 1

/** The custom process `name`, in any thread. @throws ERR_SLUICE_INVALID_ARG when there is none */
export function processHandle(name: string, all: readonly ProcessName[], asker: Asker): ProcessHandle {
  const named = all.find((one) => one.name === name)
  if (named === undefined) {
    const those = all.length === 0 ? 'there are none' : `there are ${all.slice(0, 20).map((one) => one.name).join(', ')}`
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is no process ${JSON.stringify(name)}: ${those}`)
  }
  const info = async (): Promise<ProcessInfo> => {
    const infos = (await asker.ask({ op: 'infos' })) as readonly ProcessInfo[]
    return infos.find((one) => one.name === name) as ProcessInfo
  }
  const end = pipe(named.pipe, {
    write: (data, waits) => asker.ask({ op: 'write', name, data, waits }),
    take: (signal) => asker.ask({ op: 'read', name }, signal),
    end: () => asker.ask({ op: 'end', name }),
  })
  return {
    name,
    queue: processQueue(name, asker),
    write: end.write,
    read: end.read,
    get duplex() {
      return end.duplex
    },
    [Symbol.asyncIterator]: () => end[Symbol.asyncIterator](),
    request: async (data, { timeout = REQUEST_TIMEOUT_MS } = {}) => {
      if (!(timeout > 0 && timeout <= TIMER_MAX)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`timeout\` must be milliseconds from 1 to ${TIMER_MAX}, got ${String(timeout)}`)
      return asker.ask({ op: 'request', name, data, timeout })
    },
    restart: async () => void (await asker.ask({ op: 'restart', name })),
    pid: async () => (await info()).pid,
    info,
  }
}

/** The queue of process `name`; of an instance, that of all its instances. */
export function processQueue(name: string, asker: Asker): ProcessQueue {
  return {
    push: async (data) => (await asker.ask({ op: 'push', name, data })) as boolean,
    pop: async ({ signal } = {}) => {
      signal?.throwIfAborted()
      const entries = (await asker.ask({ op: 'pop', name }, signal)) as readonly unknown[]
      if (entries.length === 0) throw sluiceError('ERR_SLUICE_SHUTTING_DOWN', 'The server is stopping')
      return entries[0]
    },
    length: async () => (await asker.ask({ op: 'length', name })) as number,
  }
}
