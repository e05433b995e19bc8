import type { Native } from '../../native.ts'
import { openMailbox } from '../../bridge/mailbox.ts'
import { countBefore, passedOn, type PassedOn } from './native-calls.ts'
import type { SyncCalls } from './sync-calls.ts'

/** Beyond the tickets of this process (below 2^50) and those of locks, whose numbers are microseconds since 1970: tickets of waiting for atomics. */
const ATOMIC_TICKETS = 2 ** 52

/** What takes the place of native calls in a process of its own: they are made by its master. */
export function remoteNative(calls: Pick<SyncCalls, 'call'>): Partial<Native> {
  const remote: Record<string, (...args: unknown[]) => unknown> = {}
  for (const name of Object.keys(passedOn) as PassedOn[]) {
    const before = countBefore(name)
    remote[name] = (...args) => calls.call(name, args.slice(before))
  }
  /** What was prepared: as many as there are tasks in the code of the process. */
  const prepared: { readonly name: string; readonly options: Uint8Array; readonly key: string | null }[] = []
  const waits: Partial<Native> = {
    lockAcquire: (name, shared, mayWait) => calls.call('lockAcquire', [name, shared, mayWait]) as number,
    lockEnd: (ticket) => calls.call('lockEnd', [ticket]) as boolean,
    atomicWait: (offset, expected) => {
      const ticket = calls.call('atomicWait', [offset, expected]) as number
      return ticket > 0 ? ticket + ATOMIC_TICKETS : ticket
    },
    atomicCancel: (offset, ticket) => calls.call('atomicCancel', [offset, ticket - ATOMIC_TICKETS]) as boolean,
    submitTask: (_server, _worker, name, options, input, key) => calls.call('submitTask', [name, options, input, key]) as number,
    // What saves a thread some of its call saves nothing here.
    prepareTask: (name, options, key) => prepared.push({ name, options: options.slice(), key }) - 1,
    submitPrepared: (_server, _worker, task, input) => {
      const { key, name, options } = prepared[task]!
      return calls.call('submitTask', [name, options, input, key]) as number
    },
    takeParcel: (_worker, id) => calls.call('takeParcel', [id]) as Buffer | undefined,
  }
  return { ...(remote as Partial<Native>), ...waits }
}

/** What came for a ticket of one of the calls above. */
export function takeRemoteMail(ticket: number, isAtomic: boolean, value: number): void {
  openMailbox().byTicket.get(isAtomic ? ticket + ATOMIC_TICKETS : ticket)?.(value)
}
