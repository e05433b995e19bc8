import type { HealthReport, ServerStats, WorkerInfo } from './api.ts'
import type { Board, BoardRow } from './board.ts'
import type { CoreStats } from './core.ts'

/** The version of a generation, as far as the asking thread knows it. */
export type VersionOf = (generation: number) => string | undefined

/** Puts together what the core counts and what the threads wrote on the board. Works in every thread of the server. */
export function serverStats(board: Board, { counters, rejected, tasksJournal, workers }: CoreStats, versionOf: VersionOf): ServerStats {
  const counter = (name: string): number => counters[name] ?? 0
  const bySlot = new Map(workers.map((worker) => [worker.slot, worker]))
  const serving = board.rows().filter(({ status }) => status === 'serving')
  const answering = serving.filter(({ kind }) => kind === 'worker')
  const taskWorkers = serving.filter(({ kind }) => kind === 'task')
  const now = Date.now()
  return {
    startTime: board.startTime,
    connections: counter('connections'),
    acceptCount: counter('acceptCount'),
    closeCount: counter('closeCount'),
    abortCount: counter('abortCount'),
    requestCount: counter('requestCount'),
    responseCount: counter('responseCount'),
    staticCount: counter('staticCount'),
    dispatchCount: counter('dispatchCount'),
    concurrency: counter('concurrency'),
    bytesIn: counter('bytesIn'),
    bytesOut: counter('bytesOut'),
    socketOpenCount: counter('socketOpenCount'),
    socketCloseCount: counter('socketCloseCount'),
    messagesIn: counter('messagesIn'),
    messagesOut: counter('messagesOut'),
    messagesDropped: counter('messagesDropped'),
    messagesLost: counter('messagesLost'),
    adoptions: counter('adoptions'),
    packetsIn: counter('packetsIn'),
    packetsOut: counter('packetsOut'),
    packetsLost: counter('packetsLost'),
    timers: counter('timers'),
    taskQueue: counter('taskQueue'),
    tasksDelayed: counter('tasksDelayed'),
    tasking: counter('tasking'),
    taskCount: counter('taskCount'),
    tasksDone: counter('tasksDone'),
    tasksFailed: counter('tasksFailed'),
    tasksTimedOut: counter('tasksTimedOut'),
    tasksLost: counter('tasksLost'),
    tasksUnknown: counter('tasksUnknown'),
    tasksRetried: counter('tasksRetried'),
    tasksCancelled: counter('tasksCancelled'),
    tasksJournal,
    ticksSkipped: counter('ticksSkipped'),
    cronJobs: counter('cronJobs'),
    cronRuns: counter('cronRuns'),
    cronFailures: counter('cronFailures'),
    cronSkipped: counter('cronSkipped'),
    cronMissed: counter('cronMissed'),
    replayed: counter('replayed'),
    refused: counter('refused'),
    rejected,
    workers: answering.length,
    idleWorkers: answering.filter(({ slot }) => (bySlot.get(slot)?.inflight ?? 0) === 0).length,
    taskWorkers: taskWorkers.length,
    idleTaskWorkers: taskWorkers.filter(({ tasking }) => tasking === 0).length,
    processes: board.processes,
    processesStuck: board.counter('processesStuck'),
    reloads: board.counter('reloads'),
    crashes: board.counter('crashes'),
    stuck: board.counter('stuck'),
    perWorker: serving.map((row) => ({
      id: row.id,
      kind: row.kind,
      name: row.name,
      tasks: row.tasks,
      tasking: row.tasking,
      requests: bySlot.get(row.slot)?.requests ?? 0,
      concurrency: bySlot.get(row.slot)?.inflight ?? 0,
      connections: bySlot.get(row.slot)?.connections ?? 0,
      heapUsed: row.heapUsed,
      elu: row.elu,
      uptime: now - row.since,
      version: versionOf(row.generation),
    })),
  }
}

/** Whether the server can answer, with every thread it has, leaving ones included. */
export function healthReport(board: Board, { workers }: CoreStats, versionOf: VersionOf, isStopping: boolean): HealthReport {
  const rows = board.rows()
  const busy = new Set(workers.filter(({ inflight }) => inflight > 0).map(({ slot }) => slot))
  const infos = rows.map((row) => workerInfo(row, row.tasking > 0 || busy.has(row.slot), versionOf))
  const isServing = rows.some(({ kind, status }) => kind === 'worker' && status === 'serving')
  const reason = isStopping ? 'The server is stopping' : isServing ? undefined : 'No worker is ready'
  return { live: true, ready: reason === undefined, workers: infos, ...(reason !== undefined && { reason }) }
}

function workerInfo(row: BoardRow, isBusy: boolean, versionOf: VersionOf): WorkerInfo {
  const status = row.status === 'serving' ? (isBusy ? 'busy' : 'idle') : row.status
  return { id: row.id, kind: row.kind, name: row.name, version: versionOf(row.generation), threadId: row.threadId, status }
}
