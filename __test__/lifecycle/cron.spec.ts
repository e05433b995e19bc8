import { writeFile } from 'node:fs/promises'
import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { AppFolder, ask, next, startServer } from '../support/server.ts'

// Each test starts several threads; all at once they would only wait for each other's CPU.
const { serial } = test

const sluice = import.meta.resolve('sluice')
const app = `export default () => new Response('ok')`

/** What jobs tell: an object with what a test asks for, or a text or a number. */
interface Told {
  readonly a: number
  readonly at: number
  readonly tick: number
  readonly fence: number
  readonly thread: number
  readonly died: boolean
}

/** A server whose cron worker has the jobs of a module, which tell the master what they do. */
async function withJobs(t: ExecutionContext, jobs: string, more: Config = {}): Promise<{ server: Server; folder: AppFolder; told: [from: unknown, data: Told][]; rewrite: (jobs: string) => Promise<void> }> {
  const folder = await AppFolder.create(t)
  const rewrite = (source: string): Promise<void> => writeFile(folder.path('jobs.mjs'), module(source))
  await rewrite(jobs)
  const told: [unknown, Told][] = []
  const server = await startServer(t, {
    app: await folder.write(app),
    workers: 1,
    cron: { files: folder.path('jobs.mjs') },
    ...more,
    lifecycle: { message: (from, data) => void told.push([from, data as Told]) },
  })
  return { server, folder, told, rewrite }
}

const module = (jobs: string): string => `
import { defineCron, CronJob, server } from '${sluice}'
const tell = (what) => server.postMessage('main', what)
${jobs}
`

const until = async (is: () => boolean): Promise<void> => {
  const end = Date.now() + 20_000
  while (!is()) {
    if (Date.now() > end) throw new Error(`waited 20 s for ${is}`)
    await new Promise(setImmediate)
  }
}

serial('jobs run in the cron worker, with what they were planned for', async (t) => {
  const { server, told } = await withJobs(t, `
    export const a = defineCron({ name: 'a', every: 10, run: ({ tick, plannedAt, fence, signal }) => tell({ a: tick, at: plannedAt.getTime(), fence, aborted: signal.aborted, kind: server.worker.kind, name: server.worker.name }) })
    export class Second extends CronJob {
      interval() { return '1h' }
      isImmediate() { return true }
      run() { tell({ second: true }); this.stop() }
    }
  `)
  await until(() => told.filter(([, data]) => data.a).length >= 5)
  const runs = told.map(([, data]) => data).filter((data) => data.a)
  t.deepEqual(runs.slice(0, 5).map((run) => run.a), [1, 2, 3, 4, 5])
  t.true(runs.every((run, index) => index === 0 || (run.at > runs[index - 1]!.at && run.fence > runs[index - 1]!.fence)))
  t.like(runs[0], { aborted: false, kind: 'cron', name: 'sluice-cron' } as object)
  // The exports of a module come in the order of their names.
  await until(() => server.cron.list()[0]!.last !== undefined)
  t.like(server.cron.list()[0], { name: 'Second', every: 3_600_000, runs: 1, isStopped: true, next: [], last: { ok: true } })
  t.like(server.cron.list({ next: 5 })[1], { name: 'a', every: 10, isStopped: false, failures: 0 })
  t.is(server.cron.list({ next: 5 })[1]!.next.length, 5)
  t.is(server.stats().cronJobs, 2)
  t.true(server.stats().cronRuns >= 6)
  t.is((await ask(server, '/')).text, 'ok')
})

serial('a reload leaves no gap and runs nothing twice', async (t) => {
  const job = (more: string): string => `export const a = defineCron({ name: 'a', every: 10, run: ({ tick, plannedAt }) => tell({ tick, at: plannedAt.getTime() }) });${more}`
  const { server, told, rewrite } = await withJobs(t, job(''))
  await until(() => told.length >= 3)
  for (let count = 0; count < 5; count += 1) {
    await rewrite(job(`export const b${count} = defineCron({ name: 'b${count}', every: 3_600_000, run() {} })`))
    t.true((await server.reload()).ok)
    t.deepEqual(server.cron.list().map(({ name }) => name), ['a', `b${count}`])
  }
  const runs = told.map(([, data]) => data).sort((one, other) => one.tick - other.tick)
  t.deepEqual(runs.map(({ tick }) => tick), runs.map((_, index) => index + 1))
  // It keeps its phase: what was left out, on a machine that is busy, was left out as a whole.
  const [first] = runs
  for (const { at } of runs) t.true((at - first!.at) % 10 <= 1 || (at - first!.at) % 10 >= 9, `${at - first!.at}`)
  const { skipped, missedRuns, failures } = server.cron.list()[0]!
  const slots = Math.round((runs.at(-1)!.at - first!.at) / 10) + 1
  t.true(runs.length + skipped + missedRuns >= slots - 2, `${runs.length} runs, ${skipped} skipped, ${missedRuns} missed of ${slots}`)
  t.is(failures, 0)
})

serial('a list that cannot be used fails the reload, and the old jobs go on', async (t) => {
  const { server, told, rewrite } = await withJobs(t, `export const a = defineCron({ name: 'a', every: 10, run: ({ tick }) => tell(tick) })`)
  await rewrite(`export const a = defineCron({ name: 'a', cron: '0 25 * * *', run() {} })`)
  const { ok, error } = await server.reload()
  t.false(ok)
  t.is(error?.message, 'Cron worker did not start: Cron job "a": the expression "0 25 * * *" cannot be used: field 2 (hour, 0 to 23) `25`: Number out of bounds')
  const count = told.length
  await until(() => told.length > count + 2)
  t.deepEqual(server.cron.list().map(({ name, every }) => [name, every]), [['a', 10]])
})

serial('jobs that cannot be used fail the start', async (t) => {
  for (const [jobs, message] of [
    [`export const a = defineCron({ name: 'a', cron: '* * * * *', timeZone: 'Mars/Base', run() {} })`, /Cron job "a": there is no time zone "Mars\/Base"$/],
    [`export const a = defineCron({ name: 'a', every: 5, run() {} }), b = defineCron({ name: 'a', every: 6, run() {} })`, /There are two cron jobs "a"$/],
    [`export class Idle extends CronJob { run() {} }`, /Cron job "Idle" has no interval/],
  ] as const) {
    const { cause } = await t.throwsAsync(withJobs(t, jobs), { code: 'ERR_SLUICE_WORKER_START', message })
    t.like(cause, { code: 'ERR_SLUICE_CRON', name: 'TypeError' })
  }
  const folder = await AppFolder.create(t)
  await t.throwsAsync(startServer(t, { app: await folder.write(app), workers: 1, cron: { jobs: [{ name: 'a', every: 5, run() {} }] } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /^cron\.jobs: a function cannot be handed to worker threads/ })
})

serial('a crash of the cron worker costs its start, and the run that died', async (t) => {
  const { server, told } = await withJobs(t, `
    export const a = defineCron({ name: 'a', every: 10, run: ({ tick }) => tell({ tick, thread: server.worker.threadId }) })
    export const die = defineCron({ name: 'die', every: 3_600_000, run: () => { tell({ died: true }); return new Promise(() => setTimeout(() => process.exit(3), 1)) } })
  `)
  await until(() => told.length > 0)
  for (let count = 1; count <= 3; count += 1) {
    const death = next(server, 'workerError')
    const again = next(server, 'workerStart', ({ kind }) => kind === 'cron')
    const lost = next(server, 'error', (_, { task }) => task === 'die')
    t.is(server.cron.run('die'), 'begun')
    t.like(await death, [{ reason: 'exit', worker: { kind: 'cron' } }])
    t.like(await again, [{ reason: 'crash' }])
    t.like(await lost, [{ code: 'ERR_SLUICE_TASK_LOST', message: 'The cron worker died while cron job "die" ran' }, { phase: 'cron' }])
    const seen = told.length
    await until(() => told.length > seen + 3)
    const [, die] = server.cron.list()
    t.like(die, { runs: count, failures: count, running: 0 })
    t.is(told.filter(([, data]) => data.died).length, count)
  }
  const ticks = told.flatMap(([, data]) => data.tick ?? [])
  // A run that was begun when its worker died did not come to tell of it, or did; none told twice.
  t.is(new Set(ticks).size, ticks.length)
  t.is(new Set(told.flatMap(([, data]) => data.thread ?? [])).size, 4)
})

serial('overlap: left out, one waits, or beside each other', async (t) => {
  const { server, told } = await withJobs(t, `
    const hold = new Promise((resolve) => server.on('message', () => resolve()))
    for (const overlap of ['skip', 'queue', 'allow']) jobs.push(defineCron({ name: overlap, every: 5, overlap, run: async () => { tell(overlap); await hold } }))
    export { jobs as default }
  `.replace('for (', 'const jobs = []\nfor ('))
  const count = (overlap: string): number => told.filter(([, data]) => (data as unknown) === overlap).length
  await until(() => count('allow') === 16 && server.cron.list().every(({ skipped }) => skipped >= 3))
  t.deepEqual([count('skip'), count('queue'), count('allow')], [1, 1, 16])
  server.postMessage(1, 'go')
  await until(() => count('skip') > 1 && count('queue') > 1 && count('allow') > 16)
  t.pass()
})

serial('a run that takes too long is aborted and counts as failed; what a run throws is an error of phase cron', async (t) => {
  const { server, told } = await withJobs(t, `
    export const slow = defineCron({ name: 'slow', every: 3_600_000, immediate: true, timeout: 20, run: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => { tell(signal.reason.code); resolve() })) })
    export const bad = defineCron({ name: 'bad', every: 3_600_000, run: () => { throw new Error('no') } })
  `)
  await until(() => told.length > 0)
  t.is(told[0]![1] as unknown, 'ERR_SLUICE_TASK_TIMEOUT')
  await until(() => server.cron.list()[1]!.failures > 0)
  t.like(server.cron.list()[1], { runs: 1, failures: 1, running: 0, last: { ok: false } })
  const error = next(server, 'error', ({ message }, { phase, task }) => phase === 'cron' && task === 'bad' && message === 'no')
  t.is(server.cron.run('bad'), 'begun')
  // The time-out is one, too, and may come now.
  await error
  t.throws(() => server.cron.run('none'), { code: 'ERR_SLUICE_CRON_UNKNOWN', message: 'There is no cron job "none"' })
  t.throws(() => server.cron.run(5 as never), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => server.cron.list({ next: 11 }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

serial('a cron worker that hangs is replaced, and its jobs go on', async (t) => {
  const { server, told } = await withJobs(t, `
    export const a = defineCron({ name: 'a', every: 10, run: ({ tick }) => tell({ tick }) })
    export const hang = defineCron({ name: 'hang', every: 3_600_000, timeout: 100, run: () => { for (;;); } })
  `, { stuckAfter: 300 })
  await until(() => told.length > 0)
  const death = next(server, 'workerError')
  t.is(server.cron.run('hang'), 'begun')
  t.like(await death, [{ reason: 'stuck', worker: { kind: 'cron' } }])
  const seen = told.length
  await until(() => told.length > seen + 3)
  t.like(server.cron.list()[1], { runs: 1, failures: 1, running: 0 })
  const ticks = told.map(([, { tick }]) => tick)
  t.is(new Set(ticks).size, ticks.length)
})

serial('a stopped job comes back with a reload, not with a crash', async (t) => {
  const { server, told } = await withJobs(t, `export const once = defineCron({ name: 'once', every: 5, run: ({ tick, stop }) => { tell(tick); stop() } })
    server.on('message', () => process.exit(3))`)
  await until(() => server.cron.list()[0]!.isStopped)
  const again = next(server, 'workerStart', ({ kind }) => kind === 'cron')
  server.postMessage(1, 'die')
  await again
  t.like(server.cron.list()[0], { isStopped: true, runs: 1 })
  t.true((await server.reload({ only: ['cron'] })).ok)
  await until(() => told.length === 2)
  t.deepEqual(told.map(([, tick]) => tick as unknown), [1, 2])
})
