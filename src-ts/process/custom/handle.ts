import { sluiceError, sluiceTypeError } from '../../errors.ts'
import type { ProcessCall } from './calls.ts'
import type { ProcessHandle, ProcessInfo, ProcessPipe, ProcessQueue } from './spec.ts'

/** A line to the master, or the master itself. Rejects with the master's error, with the signal's reason when that aborts first. */
export interface Asker {
  ask(call: ProcessCall, signal?: AbortSignal): Promise<unknown>
}

/** How long a request waits for its answer, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000
/** The longest delay that Node's timers can hold. */
const TIMER_MAX = 2 ** 31 - 1

/** The custom process `name`, in any thread. @throws ERR_SLUICE_INVALID_ARG when there is none */
export function processHandle(name: string, names: readonly string[], asker: Asker): ProcessHandle {
  if (!names.includes(name)) {
    const those = names.length === 0 ? 'there are none' : `there are ${names.slice(0, 20).join(', ')}`
    throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `There is no process ${JSON.stringify(name)}: ${those}`)
  }
  const info = async (): Promise<ProcessInfo> => {
    const infos = (await asker.ask({ op: 'infos' })) as readonly ProcessInfo[]
    return infos.find((one) => one.name === name) as ProcessInfo
  }
  return {
    name,
    queue: processQueue(name, asker),
    ...pipe(
      (data) => asker.ask({ op: 'write', name, data }),
      (signal) => asker.ask({ op: 'read', name }, signal),
    ),
    request: async (data, { timeout = REQUEST_TIMEOUT_MS } = {}) => {
      if (!(timeout > 0 && timeout <= TIMER_MAX)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`timeout\` must be milliseconds from 1 to ${TIMER_MAX}, got ${String(timeout)}`)
      return asker.ask({ op: 'request', name, data, timeout })
    },
    restart: async () => void (await asker.ask({ op: 'restart', name })),
    pid: async () => (await info()).pid,
    info,
  }
}

/** One end of a pipe. `signal` ends the reading of this side. */
export function pipe(write: (data: unknown) => Promise<unknown>, take: (signal?: AbortSignal) => Promise<unknown>, signal?: AbortSignal): ProcessPipe {
  /** One message in a list, an empty one at the end. */
  const next = async (options: { signal?: AbortSignal } = {}): Promise<readonly unknown[]> => {
    options.signal?.throwIfAborted()
    if (signal?.aborted) return []
    const both = options.signal && signal ? AbortSignal.any([options.signal, signal]) : (options.signal ?? signal)
    try {
      return (await take(both)) as readonly unknown[]
    } catch (error) {
      if (signal?.aborted && !options.signal?.aborted) return []
      throw error
    }
  }
  return {
    write: async (data) => void (await write(data)),
    read: async (options) => (await next(options))[0],
    async *[Symbol.asyncIterator]() {
      for (let messages = await next(); messages.length > 0; messages = await next()) yield messages[0]
    },
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
