import { workersMax } from '../config/parallelism.ts'
import { sluiceTypeError } from '../errors.ts'
import type { ResolvedConfig, ResolvedCron } from '../options.ts'
import type { ReloadTarget, WorkerKind } from './api.ts'
import { roleOf, threadName, type Place } from './place.ts'
import type { RecycleRule } from './recycle.ts'

/** The places of a server in the order of their ids: those that answer, those that run tasks, with those of queues with workers of their own last, cron. */
export function placesOf(config: Pick<ResolvedConfig, 'workers' | 'recycle' | 'tasks'> & { readonly cron?: Pick<ResolvedCron, 'maxWaitTime'> | undefined }): Place[] {
  const { cron, recycle, tasks, workers } = config
  // Requests are those of workers; tasks are counted in their place.
  const taskRule: RecycleRule = { ...recycle, requests: tasks.maxTasks, grace: undefined }
  const ownCrews = tasks.queues.filter((queue) => queue.workers > 0)
  const crews: { kind: WorkerKind; role: number; count: number; recycle: RecycleRule; maxWaitTime?: number | undefined }[] = [
    { kind: 'worker', role: roleOf('worker'), count: workers, recycle },
    { kind: 'task', role: roleOf('task'), count: tasks.workers, recycle: taskRule },
    ...ownCrews.map((queue, index) => ({ kind: 'task' as const, role: OWN_ROLE + index, count: queue.workers, recycle: taskRule })),
    { kind: 'cron', role: roleOf('cron'), count: cron === undefined ? 0 : 1, recycle: {}, maxWaitTime: cron?.maxWaitTime },
  ]
  const indexes = new Map<WorkerKind, number>()
  const places = crews.flatMap(({ count, ...crew }) =>
    Array.from({ length: count }, () => {
      const index = indexes.get(crew.kind) ?? 0
      indexes.set(crew.kind, index + 1)
      return { ...crew, index, name: threadName(crew.kind, index) }
    }),
  )
  checkThreads(places.length)
  return places.map((place, id) => ({ id, ...place }))
}

/** @throws ERR_SLUICE_INVALID_OPTION for more threads than leave room for as many that replace them */
export function checkThreads(count: number): void {
  if (count <= workersMax) return
  throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `workers, task workers, the cron worker and processes that are threads must be at most ${workersMax} together, got ${count}`)
}

/** The role of the first queue's own workers; those of others follow in the order of the configuration. */
const OWN_ROLE = 4

/** What {@link ReloadTarget} names. */
const targets = { workers: 'worker', tasks: 'task', cron: 'cron', processes: 'process' } as const satisfies Record<ReloadTarget, WorkerKind>

/** The kinds that a reload is for; undefined for all. @throws ERR_SLUICE_INVALID_ARG for what is no list of targets */
export function reloadKinds(only: unknown): ReadonlySet<WorkerKind> | undefined {
  if (only === undefined) return undefined
  if (Array.isArray(only) && only.length > 0 && only.every((target) => typeof target === 'string' && Object.hasOwn(targets, target))) {
    return new Set((only as ReloadTarget[]).map((target) => targets[target]))
  }
  const names = Object.keys(targets).map((target) => `"${target}"`)
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`only\` must be a list of ${names.slice(0, -1).join(', ')} and ${names.at(-1)}, got ${JSON.stringify(only)}`)
}
