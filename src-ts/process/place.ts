import type { WorkerKind } from './api.ts'
import type { RecycleRule } from './recycle.ts'

/** One place for a worker: what is the same for all that take it, one after the other. */
export interface Place {
  /** The worker's number, one row of numbers for all kinds. */
  readonly id: number
  readonly kind: WorkerKind
  /** What it does, to the core: 0 answers, 1 runs tasks, 2 runs cron jobs, 3 is a process, 4 and above run the tasks of one queue. */
  readonly role: number
  /** Its number among those of its kind. */
  readonly index: number
  readonly name: string
  /** When a worker is replaced although nothing is wrong with it. */
  readonly recycle: RecycleRule
  /** What its worker gets to finish, in milliseconds, where that is not what all get. */
  readonly maxWaitTime?: number | undefined
}

/** In the order of their roles; only the first gets requests and connections. */
const kinds = ['worker', 'task', 'cron', 'process'] as const satisfies WorkerKind[]

/** The role of a kind's common workers. */
export function roleOf(kind: WorkerKind): number {
  return kinds.indexOf(kind)
}

/** {@link roleOf} backwards. */
export function kindOf(role: number): WorkerKind {
  return kinds[role] ?? 'worker'
}

/** The name of an OS thread; Linux shows 15 bytes of it. */
export function threadName(kind: WorkerKind, index: number): string {
  return kind === 'cron' ? 'sluice-cron' : `sluice-${kind.slice(0, 1)}${index}`
}

/** What people call it: `Worker 3`, `Task worker 4`, `Cron worker`. */
export function workerTitle({ id, kind }: { readonly id: number; readonly kind: WorkerKind }): string {
  switch (kind) {
    case 'worker':
      return `Worker ${id}`
    case 'task':
      return `Task worker ${id}`
    case 'cron':
      return 'Cron worker'
    case 'process':
      return `Process ${id}`
  }
}
