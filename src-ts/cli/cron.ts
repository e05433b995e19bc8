import type { CronJobInfo } from '../cron/cron-jobs.ts'
import { columns } from './columns.ts'
import { ControlClient } from './control-client.ts'
import type { ControlAnswers } from './control-handlers.ts'
import type { CronFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

/** A server whose master does not answer within this time, in milliseconds, is not well, whatever it does. */
const ANSWER_MS = 5_000

/** `sluice cron`: lists the cron jobs of the running server, or runs one now. Exits with 1 when that one may not run. */
export async function cron({ config, json, run }: CronFlags): Promise<ExitCode> {
  const client = await ControlClient.connect((await findState(config)).socket)
  try {
    if (run !== undefined) {
      const { trigger } = (await client.call('runCron', { name: run }, ANSWER_MS)) as ControlAnswers['runCron']
      print(json ? JSON.stringify({ trigger }) : texts[trigger])
      return trigger === 'busy' ? 1 : 0
    }
    const { jobs } = (await client.call('cron', undefined, ANSWER_MS)) as ControlAnswers['cron']
    if (json) print(JSON.stringify(jobs))
    else if (jobs.length === 0) print('No cron jobs')
    else for (const line of columns([HEAD, ...jobs.map(rowOf)])) print(line)
    return 0
  } finally {
    client.close()
  }
}

const texts: Record<ControlAnswers['runCron']['trigger'], string> = {
  begun: 'It runs',
  queued: 'It runs when the run before it is over',
  busy: 'It runs already, and does not overlap',
}

const HEAD = ['job', 'times', 'runs', 'failed', 'last run', 'took', 'next runs']

function rowOf({ name, every, cron: expression, timeZone, isStopped, runs, failures, last, next }: CronJobInfo): (string | number)[] {
  const times = expression === undefined ? `every ${every} ms` : `${expression} (${timeZone})`
  const then = last === undefined ? '-' : `${time(last.began)}${last.ok ? '' : ' failed'}`
  return [name, times, runs, failures, then, last === undefined ? '-' : `${last.ms} ms`, isStopped ? 'stopped' : next.map(time).join(', ')]
}

/** In the time zone of whoever looks. */
function time(unix: number): string {
  const date = new Date(unix)
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
