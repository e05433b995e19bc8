import test from 'ava'

import type { CronContext } from '../../src-ts/cron/job.ts'
import { runJobs, type CronHost } from '../../src-ts/cron/run-jobs.ts'
import { toSpec } from '../../src-ts/cron/spec.ts'
import type { NativeCron } from '../../src-ts/native.ts'

/** A core that only writes down what it is told. */
function host() {
  const calls: unknown[] = []
  const tasks = new Map<string, (input: unknown, ctx: { signal: AbortSignal }) => unknown>()
  const native = {
    setCron: (worker, jobs, revives) => void calls.push([worker, JSON.parse(jobs), revives]),
    stopCron: (server, name) => calls.push(['stop', server, name]) > 0,
  } as NativeCron
  const define: CronHost['define'] = (name, run) => void tasks.set(name, run)
  return { calls, tasks, native, server: 7, worker: 3, revives: true, define }
}

test('the core gets the list, and each run what it was planned for', async (t) => {
  const at = host()
  const seen: CronContext[] = []
  runJobs([toSpec({ name: 'a', every: 5, run: (ctx: CronContext) => void seen.push(ctx) }), toSpec({ name: 'b', cron: '0 3 * * *', timeZone: 'UTC', run: () => undefined })], at)
  t.deepEqual(at.calls, [[3, [
    { name: 'a', every: 5, immediate: false, overlap: 'skip', missed: 'skip', timeout: 0 },
    { name: 'b', cron: '0 3 * * *', timeZone: 'UTC', immediate: false, overlap: 'skip', missed: 'skip', timeout: 0 },
  ], true]])
  t.deepEqual([...at.tasks.keys()], ['cron:a', 'cron:b'])
  const { signal } = new AbortController()
  await at.tasks.get('cron:a')?.('4 1780272000000 1780272000005', { signal })
  t.like(seen[0], { tick: 4, plannedAt: new Date(1_780_272_000_000), fence: 1_780_272_000_005, signal })
  seen[0]?.stop()
  t.deepEqual(at.calls.at(-1), ['stop', 7, 'a'])
})

test('an expression goes by the time zone of the process unless it has one', (t) => {
  const at = host()
  runJobs([toSpec({ name: 'b', cron: '0 3 * * *', run: () => undefined })], at)
  t.like(at.calls, [[3, [{ timeZone: new Intl.DateTimeFormat().resolvedOptions().timeZone }], true]])
})

test('what a run gives does not travel, what it throws does', async (t) => {
  const at = host()
  const error = new Error('no')
  const { signal } = new AbortController()
  runJobs([
    toSpec({ name: 'sync', every: 5, run: () => 5 as never }),
    toSpec({ name: 'async', every: 5, run: async () => 5 as never }),
    toSpec({ name: 'throw', every: 5, run: () => { throw error } }),
    toSpec({ name: 'reject', every: 5, run: () => Promise.reject(error) }),
  ], at)
  const run = (name: string): unknown => at.tasks.get(`cron:${name}`)?.('1 1 1', { signal })
  t.is(run('sync'), undefined)
  t.is(await run('async'), undefined)
  t.is(t.throws(() => run('throw')), error)
  t.is(await t.throwsAsync(async () => run('reject')), error)
})
