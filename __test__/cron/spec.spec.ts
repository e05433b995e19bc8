import test from 'ava'

import { defineCron } from '../../src-ts/cron/define-cron.ts'
import { CronJob, type CronContext } from '../../src-ts/cron/job.ts'
import { isJob, isJobClass, toSpec } from '../../src-ts/cron/spec.ts'

class Tick extends CronJob {
  readonly seen: number[] = []
  override interval(): number {
    return 1000
  }
  override run(ctx: CronContext): void {
    this.seen.push(ctx.tick)
    if (ctx.tick === 2) this.stop()
  }
}

const run = (): void => undefined

test('a definition has its defaults', (t) => {
  t.deepEqual(toSpec(defineCron({ name: 'a', every: '5s', run })).job, { name: 'a', every: 5000, immediate: false, overlap: 'skip', missed: 'skip', timeout: 0 })
  t.deepEqual(toSpec({ name: 'a', cron: '0 3 * * *', timeZone: 'Europe/Berlin', immediate: true, overlap: 'queue', missed: 'once', timeout: 9, run }).job, {
    name: 'a', cron: '0 3 * * *', timeZone: 'Europe/Berlin', immediate: true, overlap: 'queue', missed: 'once', timeout: 9,
  })
})

test('a class is a job by its methods, or by what comes with it', (t) => {
  t.like(toSpec(Tick).job, { name: 'Tick', every: 1000, immediate: false })
  t.like(toSpec([Tick, [20, true]]).job, { name: 'Tick', every: 20, immediate: true })
  t.like(toSpec([Tick, ['*/5 * * * *']]).job, { name: 'Tick', cron: '*/5 * * * *' })
  class Renamed extends Tick {
    static readonly id = 'other'
    override interval = (): never => '1m' as never
    override isImmediate(): boolean {
      return true
    }
  }
  t.like(toSpec(Renamed).job, { name: 'other', every: 60_000, immediate: true })
  t.is(toSpec(class Child extends Renamed {}).job.name, 'Child')
})

test('one instance of a class runs, and stops as it is told', async (t) => {
  const spec = toSpec(Tick)
  let stops = 0
  spec.adopt?.(() => {
    stops += 1
  })
  for (const tick of [1, 2]) await spec.run({ tick } as CronContext)
  t.is(stops, 1)
  t.throws(() => new Tick().stop(), { code: 'ERR_SLUICE_INVALID_STATE' })
})

test('what is no job is refused by its name', (t) => {
  const fault = (entry: unknown): string | undefined => t.throws(() => toSpec(entry, 'cron.jobs[0]'), { code: 'ERR_SLUICE_CRON', instanceOf: TypeError }).message
  t.is(fault(5), 'cron.jobs[0] must be what defineCron() gives, a class that extends CronJob, or [class, [interval, isImmediate]], got number')
  t.is(fault({ every: 1, run }), 'cron.jobs[0] must have a `name` of 1 to 240 bytes, got undefined')
  t.is(fault({ name: 'a', every: 1 }), 'Cron job "a": `run` must be a function, got undefined')
  t.is(fault({ name: 'a', run }), 'Cron job "a" needs either `every` or `cron`')
  t.is(fault({ name: 'a', every: 1, cron: '* * * * *', run }), 'Cron job "a" needs either `every` or `cron`')
  t.is(fault({ name: 'a', every: 1, timeZone: 'UTC', run }), 'Cron job "a": `timeZone` is for `cron`; `every` goes by no clock on the wall')
  t.is(fault({ name: 'a', every: 0, run }), 'Cron job "a": `every` must be a whole number of milliseconds ≥ 1, or "500ms", "5s", "5m", "1h" or "1d", got 0')
  t.is(fault({ name: 'a', every: 1, imediate: true, run }), 'Cron job "a" has an unknown member `imediate`')
  t.is(fault({ name: 'a', every: 1, overlap: 'never', run }), 'Cron job "a": `overlap` must be "skip", "queue" or "allow", got "never"')
  t.is(fault({ name: 'a', every: 1, missed: 'all', run }), 'Cron job "a": `missed` must be "skip" or "once", got "all"')
  t.is(fault({ name: 'a', every: 1, timeout: -1, run }), 'Cron job "a": `timeout` must be a whole number of milliseconds ≥ 0, got -1')
  t.is(fault([Tick, 5]), 'Cron job "Tick" must come with [interval, isImmediate], got 5')
  t.is(fault([Date, [5]]), 'cron.jobs[0] must be [class that extends CronJob, [interval, isImmediate]]')
  class Idle extends CronJob {
    override run(): void {}
  }
  t.is(fault(Idle), 'Cron job "Idle" has no interval: it needs a method interval(), or [Idle, [interval]] in the configuration')
})

test('exports are known as jobs, also those of another copy of the module', async (t) => {
  t.true(isJob(Tick))
  t.true(isJob(defineCron({ name: 'a', every: 1, run })))
  t.false(isJob(CronJob))
  t.false(isJob({ name: 'a', every: 1, run }))
  t.false(isJob(undefined))
  const copy = '../../src-ts/cron/job.ts?copy'
  const other = (await import(copy)) as { CronJob: typeof CronJob }
  t.not(other.CronJob, CronJob)
  t.true(isJobClass(class extends other.CronJob { override run(): void {} }))
})
