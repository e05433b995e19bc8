import test from 'ava'

import { Board } from '../../src-ts/process/board.ts'
import { placeOf } from './fake-worker.ts'
import { healthReport, serverStats } from '../../src-ts/process/stats.ts'

const versionOf = (generation: number): string => `v${generation}`

test('what one thread writes, another reads', (t) => {
  const board = new Board()
  board.enter(3, placeOf(1), 2)
  const elsewhere = new Board(board.buffer)
  elsewhere.setVitals(3, 17, 1_000_000, 0.5)
  board.setStatus(3, 'serving')
  board.count('reloads')
  t.like(board.row(3), { slot: 3, id: 1, status: 'serving', threadId: 17, heapUsed: 1_000_000, elu: 0.5, generation: 2 })
  t.is(elsewhere.counter('reloads'), 1)
  t.is(elsewhere.startTime, board.startTime)
})

test('a thread that ends late leaves the row of its successor alone', (t) => {
  const board = new Board()
  const old = board.enter(0, placeOf(0), 1)
  board.enter(0, placeOf(0), 2)
  board.leave(0, old)
  t.like(board.row(0), { generation: 2 })
})

test('stats and health put board and core together', (t) => {
  const board = new Board()
  board.enter(4, placeOf(0), 1)
  board.setStatus(4, 'serving')
  board.enter(5, placeOf(1), 1)
  board.setStatus(5, 'serving')
  const leaving = board.enter(6, placeOf(0), 2)
  const core = { counters: { requestCount: 5 }, rejected: { concurrency: 2 }, workers: [{ slot: 5, requests: 4, inflight: 1 }] }
  const stats = serverStats(board, core, versionOf)
  t.like(stats, { requestCount: 5, rejected: { concurrency: 2 }, workers: 2, idleWorkers: 1, connections: 0 })
  t.deepEqual(
    stats.perWorker.map(({ id, requests, concurrency, version }) => ({ id, requests, concurrency, version })),
    [
      { id: 0, requests: 0, concurrency: 0, version: 'v1' },
      { id: 1, requests: 4, concurrency: 1, version: 'v1' },
    ],
  )
  const health = healthReport(board, core, versionOf, false)
  t.true(health.ready)
  t.deepEqual(health.workers.map(({ id, status, version }) => [id, status, version]), [[0, 'idle', 'v1'], [0, 'starting', 'v2'], [1, 'busy', 'v1']])
  board.leave(6, leaving)
  t.is(healthReport(board, core, versionOf, false).workers.length, 2)
  t.like(healthReport(new Board(), core, versionOf, false), { live: true, ready: false, reason: 'No worker is ready' })
  t.like(healthReport(board, core, versionOf, true), { ready: false, reason: 'The server is stopping' })
})

test('only workers that answer make a server ready and count as workers', (t) => {
  const board = new Board()
  board.enter(0, placeOf(1, 'task'), 1)
  board.setStatus(0, 'serving')
  const core = { counters: {}, rejected: {}, workers: [{ slot: 0, requests: 0, inflight: 0 }] }
  for (let begun = 0; begun < 12; begun += 1) board.addTasks(0, 1, 1)
  board.addTasks(0, 0, -9)
  t.like(healthReport(board, core, versionOf, false), { ready: false, reason: 'No worker is ready' })
  t.like(healthReport(board, core, versionOf, false).workers[0], { id: 1, kind: 'task', name: 'sluice-t1', status: 'busy' })
  const stats = serverStats(board, core, versionOf)
  t.like(stats, { workers: 0, idleWorkers: 0, taskWorkers: 1, idleTaskWorkers: 0 })
  t.like(stats.perWorker[0], { id: 1, kind: 'task', name: 'sluice-t1', tasks: 12, tasking: 3 })
  board.enter(1, placeOf(0), 1)
  board.setStatus(1, 'serving')
  t.like(healthReport(board, core, versionOf, false), { ready: true })
  t.like(serverStats(board, core, versionOf), { workers: 1, idleWorkers: 1, taskWorkers: 1 })
})
