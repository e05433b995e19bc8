/** The program in the page about cron jobs does what the page says, and so does `sluice cron`. */
import { existsSync, readFileSync } from 'node:fs'
import test from 'ava'
import type { CronJobInfo } from 'sluice'

import { Workplace } from './cli/command.ts'

const page = readFileSync(new URL('../docs/reference/cron.md', import.meta.url), 'utf8')
const [, config = ''] = /^```js\n([^]*?)^```$/m.exec(page) ?? []

async function until(is: () => boolean): Promise<void> {
  const end = Date.now() + 20_000
  while (!is()) {
    if (Date.now() > end) throw new Error(`waited 20 s for ${is}`)
    await new Promise(setImmediate)
  }
}

test('cron.md: the jobs of the configuration run, are listed, and run when they are told', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': `export default () => new Response('ok')`, 'sluice.config.js': config })
  const lines = (file: string): string[] => (existsSync(place.file(file)) ? readFileSync(place.file(file), 'utf8').split('\n').filter(Boolean) : [])
  await place.serve()
  await until(() => lines('runs.log').length >= 3 && lines('command.log').length >= 2)
  t.deepEqual(lines('runs.log').slice(0, 3), ['heartbeat 1', 'heartbeat 2', 'heartbeat 3'])
  t.is(lines('command.log')[0], 'done')

  const jobs = JSON.parse((await place.run(['cron', '--json'])).stdout) as (CronJobInfo & Record<string, unknown>)[]
  t.deepEqual(jobs.map(({ name }) => name), ['report', 'Heartbeat', 'command'])
  t.like(jobs[0], { cron: '0 3 * * *', timeZone: 'Europe/Berlin', missed: 'once', runs: 0, isStopped: false })
  t.is(jobs[0]!.next.length, 3)
  t.like(jobs[1], { every: 20, runs: 3, failures: 0, isStopped: true, next: [], last: { ok: true } })
  t.like(jobs[2], { every: 50, failures: 0 })

  t.like(await place.run(['cron', '--run', 'report']), { code: 0, stdout: 'It runs\n' })
  await until(() => lines('runs.log').length >= 4)
  t.is(lines('runs.log')[3], `report of ${new Date().getFullYear()}`)
  const { stdout } = await place.run(['cron'])
  t.regex(stdout, /^job +times +runs +failed +last run +took +next runs\nreport +0 3 \* \* \* \(Europe\/Berlin\) +1 +0 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+ ms +\d{4}.*, .*, .*\nHeartbeat +every 20 ms +3 .* stopped\n/)
  const { code, stderr } = await place.run(['cron', '--run', 'none'])
  t.is(code, 1)
  t.regex(stderr, /There is no cron job "none" \(ERR_SLUICE_CRON_UNKNOWN\)/)
})

test('cron.md has every member of a job, and every call', (t) => {
  const first = [...page.matchAll(/^\| `(\w+)(?:\([^)]*\))?` \|/gm)].map(([, name]) => name)
  t.deepEqual(first, ['name', 'every', 'cron', 'timeZone', 'immediate', 'overlap', 'missed', 'timeout', 'run', 'list', 'run'])
})
