import test from 'ava'

import { parseConfig } from '../../src-ts/options.ts'
import { workerTitle } from '../../src-ts/process/place.ts'
import { placesOf, reloadKinds } from '../../src-ts/process/places.ts'

test('workers come first, then task workers with those of queues, then cron: in one row of ids', (t) => {
  const config = parseConfig({ workers: 2, recycle: { requests: 7, heapMb: 100 }, tasks: { workers: 2, maxTasks: 50, queues: { mail: {}, video: { workers: 1 }, sms: { workers: 2 } } } })
  const places = placesOf({ ...config, cron: {} })
  t.deepEqual(
    places.map(({ id, kind, index, role, name }) => [id, kind, index, role, name]),
    [
      [0, 'worker', 0, 0, 'sluice-w0'],
      [1, 'worker', 1, 0, 'sluice-w1'],
      [2, 'task', 0, 1, 'sluice-t0'],
      [3, 'task', 1, 1, 'sluice-t1'],
      [4, 'task', 2, 4, 'sluice-t2'],
      [5, 'task', 3, 5, 'sluice-t3'],
      [6, 'task', 4, 5, 'sluice-t4'],
      [7, 'cron', 0, 2, 'sluice-cron'],
    ],
  )
  t.is(places[0]?.recycle.requests, 7)
  t.like(places[2]?.recycle, { requests: 50, heapMb: 100, grace: undefined })
  t.deepEqual(places[7]?.recycle, {})
  t.deepEqual(places.map(workerTitle).slice(1, 3), ['Worker 1', 'Task worker 2'])
  t.is(workerTitle(places[7]!), 'Cron worker')
})

test('without tasks there are only workers', (t) => {
  t.deepEqual(placesOf(parseConfig({ workers: 1 })).map(({ kind }) => kind), ['worker'])
})

test('more threads than leave room for a reload are refused', (t) => {
  t.notThrows(() => placesOf(parseConfig({ workers: 119, tasks: {} })))
  t.throws(() => placesOf(parseConfig({ workers: 120, tasks: {} })), { code: 'ERR_SLUICE_INVALID_OPTION', message: /at most 120 together, got 121/ })
})

test('the targets of a reload are kinds', (t) => {
  t.is(reloadKinds(undefined), undefined)
  t.deepEqual(reloadKinds(['tasks', 'workers', 'cron', 'processes']), new Set(['task', 'worker', 'cron', 'process'] as const))
  for (const wrong of [[], ['task'], 'tasks', ['tasks', 1], ['constructor'], {}]) {
    t.throws(() => reloadKinds(wrong), { code: 'ERR_SLUICE_INVALID_ARG', message: /`only` must be a list of "workers", "tasks", "cron" and "processes", got / })
  }
})
