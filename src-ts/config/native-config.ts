import type { ResolvedConfig, ResolvedTasks } from '../options.ts'

/** The configuration as the core reads it (`crates/sluice-core/src/config.rs`): one JSON document, every field present, 0 = off. */
export function toNativeConfig(config: ResolvedConfig): string {
  const { replay, maxBody, status } = config.onWorkerCrash
  // Whoever may talk to the server's files may talk to its sockets, unless they say otherwise.
  const owner = config.user === undefined && config.group === undefined ? undefined : `${config.user ?? ''}${config.group === undefined ? '' : `:${config.group}`}`
  return JSON.stringify({
    ports: config.ports.map(({ limits, listen, tls = null, ...port }) => ({
      ...port,
      tls,
      listen: 'path' in listen && owner !== undefined && !listen.path.startsWith('\0') ? { owner, ...listen } : listen,
      limits: { ...limits, softTimeout: config.requestTimeout.soft },
    })),
    reactors: config.core.threads,
    affinity: config.core.affinity,
    stuckAfter: config.stuckAfter,
    replay: { safeMethods: replay === 'idempotent', maxBody, status },
    topics: config.topics,
    timers: config.timers,
    tasks: { ...nativeTasks(config.tasks), workerIds: workerIds(config) },
    compression: config.compression === false ? null : { minBytes: config.compression.minBytes, level: config.compression.level, types: config.compression.types },
    staticFiles: config.static.map(({ rewrite, ...entry }) => ({ ...entry, rewrite: Object.entries(rewrite) })),
    uploads: config.uploads,
    serverHeader: config.serverHeader === false ? null : config.serverHeader,
  })
}

/** Pools of workers as the core numbers them; those of queues with workers of their own follow in the order of the configuration. */
const Pool = { ORDINARY: 0, TASKS: 1, OWN: 4 } as const

/** How many ids there are: of workers, of those that run tasks, of the one for cron jobs, and of processes. */
function workerIds({ cron, processes, tasks, workers }: ResolvedConfig): number {
  const counts = [workers, tasks.workers, cron === undefined ? 0 : 1, ...tasks.queues.map((queue) => queue.workers), ...Object.values(processes).map(({ instances }) => instances)]
  // A server without workers of its own is worker 0.
  return Math.max(1, counts.reduce((sum, count) => sum + count, 0))
}

function nativeTasks({ bytes, concurrency, durable, keepFailed, max, queues, workers }: ResolvedTasks): object {
  let own: number = Pool.OWN
  const poolOf = (queue: ResolvedTasks['queues'][number]): number => (queue.workers > 0 ? own++ : workers > 0 ? Pool.TASKS : Pool.ORDINARY)
  return {
    workers,
    concurrency,
    max,
    bytes,
    keepFailed,
    durable: durable || null,
    queues: queues.map((queue) => ({ name: queue.name, pool: poolOf(queue), concurrency: queue.concurrency, rate: queue.rate ?? null })),
  }
}
