import { forget, openMailbox, receive } from '../../bridge/mailbox.ts'
import { sluiceTypeError } from '../../errors.ts'
import type { Native } from '../../native.ts'
import type { MasterMessage } from '../messages.ts'
import { ownCalls, passedOn, type OwnCall, type PassedOn } from './native-calls.ts'
import { markAtomics } from './shared-memory.ts'
import type { TaskRelay } from './task-relay.ts'

/** Locks that one process holds or waits for, and its waits for atomics: each of them. */
const TICKETS_MAX = 16_384

/** What the master has for the calls of its processes. */
export interface CallsOptions {
  readonly native: Native
  /** The server as the core names it. */
  readonly server: () => number
  readonly tasks: TaskRelay
  readonly stats: () => unknown
  readonly health: () => unknown
  /** To the process. */
  readonly post: (message: MasterMessage) => void
}

/** The master's end of the calls of one run of a process of its own: what it takes is given back when the process has ended. */
export class ChildCalls {
  readonly #options: CallsOptions
  /** Locks in its hands, and places in their lines. */
  readonly #locks = new Set<number>()
  /** Waits for atomics by ticket, with the place of the atomic. */
  readonly #waits = new Map<number, number>()
  #hasEnded = false

  constructor(options: CallsOptions) {
    this.#options = options
  }

  /** What was called came from another process: `call` may be anything. @throws what the call throws */
  answer(call: unknown): unknown {
    const [name, args] = Array.isArray(call) ? (call as readonly unknown[]) : []
    if (typeof name !== 'string' || !Array.isArray(args)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'This is no call')
    if ((ownCalls as readonly string[]).includes(name)) return this.#own(name as OwnCall, args as readonly unknown[])
    if (!Object.hasOwn(passedOn, name)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `${name.slice(0, 64)}() cannot be called from a process of its own`)
    const { native, server } = this.#options
    const before = passedOn[name as PassedOn]
    const first = before === 'nothing' ? [] : before === 'server' ? [server()] : [server(), -1]
    return (native[name as PassedOn] as (...all: unknown[]) => unknown)(...first, ...(args as unknown[]))
  }

  /** The process has ended. */
  end(): void {
    this.#hasEnded = true
    const { native, tasks } = this.#options
    for (const ticket of this.#locks) {
      forget(ticket)
      native.lockEnd(ticket)
    }
    for (const [ticket, offset] of this.#waits) {
      forget(ticket)
      native.atomicCancel(offset, ticket)
    }
    this.#locks.clear()
    this.#waits.clear()
    tasks.forget(this)
  }

  /** A record about a task that the process has delivered. */
  told(record: Uint8Array): void {
    this.#options.post({ type: 'task', record })
  }

  #own(name: OwnCall, args: readonly unknown[]): unknown {
    const { health, stats, tasks } = this.#options
    switch (name) {
      case 'lockAcquire':
        return this.#acquire(String(args[0]), args[1] === true, args[2] === true)
      case 'lockEnd':
        return this.#release(Number(args[0]))
      case 'atomicWait':
        return this.#wait(Number(args[0]), Number(args[1]))
      case 'atomicCancel':
        return this.#cancel(Number(args[1]))
      case 'submitTask': {
        const [task, options, input, key] = args
        if (typeof task !== 'string' || !(options instanceof Uint8Array) || !(input instanceof Uint8Array || input === null) || !(typeof key === 'string' || key === null)) {
          throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'This is no task')
        }
        return tasks.submit(this, task, options, input, key)
      }
      case 'takeParcel':
        return tasks.parcel(Number(args[0]))
      case 'atomicMark':
        return markAtomics()
      case 'stats':
        return stats()
      case 'health':
        return health()
    }
  }

  #acquire(name: string, isShared: boolean, mayWait: boolean): number {
    const { native, post } = this.#options
    if (this.#hasEnded || this.#locks.size >= TICKETS_MAX) return Number.NaN
    openMailbox()
    const answer = native.lockAcquire(name, isShared, mayWait)
    const ticket = Math.abs(answer)
    if (ticket > 0) this.#locks.add(ticket)
    if (answer < 0) {
      receive(ticket, (value) => {
        forget(ticket)
        post({ type: 'mail', ticket, isAtomic: false, value })
      })
    }
    return answer
  }

  #release(ticket: number): boolean {
    if (!this.#locks.delete(ticket)) return false
    forget(ticket)
    return this.#options.native.lockEnd(ticket)
  }

  #wait(offset: number, expected: number): number {
    const { native, post } = this.#options
    if (this.#hasEnded || this.#waits.size >= TICKETS_MAX) return Number.NaN
    openMailbox()
    // Nobody in this process may have used an atomic yet.
    native.atomicMemory()
    const ticket = native.atomicWait(offset, expected)
    if (!(ticket > 0)) return ticket
    this.#waits.set(ticket, offset)
    receive(ticket, (value) => {
      forget(ticket)
      this.#waits.delete(ticket)
      post({ type: 'mail', ticket, isAtomic: true, value })
    })
    return ticket
  }

  #cancel(ticket: number): boolean {
    const offset = this.#waits.get(ticket)
    // It was woken: its mail is on its way.
    if (offset === undefined || !this.#options.native.atomicCancel(offset, ticket)) return false
    forget(ticket)
    this.#waits.delete(ticket)
    return true
  }
}
