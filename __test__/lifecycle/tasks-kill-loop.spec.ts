/** Task workers that die and are replaced while many tasks run. */
import test from 'ava'

import { TaskBench as Bench } from '../support/task-bench.ts'

// Each test starts several threads; all at once they would only wait for each other's CPU.
const { serial } = test

serial('task workers that die in the midst of many tasks lose none', async (t) => {
  const bench = await Bench.start(t, { tasks: { workers: 2 }, reload: { rollback: false } })
  let deaths = 0
  bench.server.on('workerError', () => void deaths++)
  t.deepEqual(await bench.do('risky', 150), Array.from({ length: 150 }, (_, number) => number))
  t.true(deaths >= 3, `${deaths} deaths`)
  t.like(bench.server.tasks.list(), { queues: [{ done: 150, failed: 0, waiting: 0, running: 0 }], failed: [] })
})

serial('reloads in the midst of many tasks lose none, and run none twice', async (t) => {
  const bench = await Bench.start(t, { tasks: { workers: 2, concurrency: 4 } })
  const all = bench.do('brief', 5000)
  await bench.take('brief')
  for (let round = 0; round < 2; round++) t.true((await bench.server.reload({ only: ['tasks'] })).ok)
  const numbers = Array.from({ length: 5000 }, (_, number) => number)
  t.deepEqual(await all, numbers)
  await bench.until(() => bench.notes.length === 4999, 'all notes')
  t.is(new Set(bench.notes.map(({ number }) => number)).size, 4999)
  t.true(new Set(bench.notes.map(({ thread }) => thread)).size > 2)
})

// Since Node.js 22 V8 may abort the whole process before Node can end a thread whose heap is full (README, honest limits).
const onlyWhereItEnds = Number(process.versions.node.split('.')[0]) < 22 ? serial : serial.skip

onlyWhereItEnds('a task whose worker fills its heap is given back', async (t) => {
  const bench = await Bench.start(t, { tasks: {}, resourceLimits: { maxOldGenerationSizeMb: 48 } })
  t.is(await bench.do('die', ['oom', { tries: 2 }]), 'lived')
  t.deepEqual([(await bench.take('dying')).attempt, (await bench.take('dying')).attempt], [1, 2])
  t.deepEqual(bench.errors, [])
})
