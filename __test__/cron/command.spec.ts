import test, { type ExecutionContext } from 'ava'

import { defineCommandCron } from '../../src-ts/cron/command.ts'
import type { CronContext } from '../../src-ts/cron/job.ts'

const { serial } = test

/** What is written to the output of this thread from here on, until the test is over. */
function listen(t: ExecutionContext): string[] {
  const { write } = process.stdout
  const lines: string[] = []
  process.stdout.write = (text: unknown) => lines.push(String(text)) > 0
  t.teardown(() => {
    process.stdout.write = write
  })
  return lines
}

const context = (signal = new AbortController().signal): CronContext => ({ tick: 1, plannedAt: new Date(), fence: 1, stop: () => undefined, signal })

test('a command is a job with its text as the name', (t) => {
  t.like(defineCommandCron('echo hi', '0 3 * * *', { timeZone: 'UTC', timeout: 5 }), { name: 'echo hi', cron: '0 3 * * *', timeZone: 'UTC', timeout: 5 })
  t.like(defineCommandCron(['echo', 'hi'], '5s', { name: 'greet' }), { name: 'greet', every: '5s' })
  t.like(defineCommandCron('x', '@daily'), { cron: '@daily' })
  t.like(defineCommandCron('x', 20), { every: 20 })
  for (const command of ['', [], [1]]) t.throws(() => defineCommandCron(command as never, 20), { code: 'ERR_SLUICE_CRON' })
})

serial('what it writes is logged by lines with its name', async (t) => {
  const job = defineCommandCron('printf "a\\nb\\n"; printf c', '1h', { name: 'job', env: { PATH: process.env['PATH'] ?? '' } })
  const lines = listen(t)
  await job.run(context())
  // The last line comes with the end of its output, which may be behind its own end.
  while (lines.length < 3) await new Promise(setImmediate)
  t.deepEqual(lines, ['[job] a\n', '[job] b\n', '[job] c\n'])
})

test('an end other than 0 is a failure', async (t) => {
  await t.throwsAsync(async () => defineCommandCron('exit 3', 20).run(context()), { code: 'ERR_SLUICE_CRON_COMMAND', message: 'The command of cron job "exit 3" ended with exit code 3' })
  await t.throwsAsync(async () => defineCommandCron('kill -9 $$', 20).run(context()), { code: 'ERR_SLUICE_CRON_COMMAND', message: 'The command of cron job "kill -9 $$" ended by SIGKILL' })
  await t.throwsAsync(async () => defineCommandCron(['/nowhere/at/all'], 20).run(context()), { code: 'ERR_SLUICE_CRON_COMMAND', message: /cannot be started: spawn \/nowhere\/at\/all ENOENT$/ })
})

serial('it and what it has started end with the signal', async (t) => {
  const stop = new AbortController()
  const job = defineCommandCron('sleep 60 & echo $!; sleep 60', '1h', { name: 'job' })
  const lines = listen(t)
  const over = t.throwsAsync(async () => job.run(context(stop.signal)), { message: 'enough' })
  while (lines.length === 0) await new Promise(setImmediate)
  stop.abort(new Error('enough'))
  await over
  const pid = Number(lines.join('').slice('[job] '.length))
  t.true(pid > 1)
  // A zombie until whoever has adopted it looks.
  while (isAlive(pid)) await new Promise(setImmediate)
})

serial('what it has started and does not end with SIGTERM is killed later', async (t) => {
  const stop = new AbortController()
  const job = defineCommandCron('sh -c \'trap "" TERM; echo $$; while :; do sleep 1; done\' & sleep 60', '1h', { name: 'job' })
  const lines = listen(t)
  const over = t.throwsAsync(async () => job.run(context(stop.signal)), { message: 'enough' })
  while (lines.length === 0) await new Promise(setImmediate)
  const pid = Number(lines.join('').slice('[job] '.length))
  stop.abort(new Error('enough'))
  await over
  t.true(isAlive(pid), 'it ignores SIGTERM')
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 50))
})

serial('many at once have one listener for the end of the thread', async (t) => {
  const before = process.listenerCount('exit')
  const lines = listen(t)
  const stop = new AbortController()
  const runs = Array.from({ length: 12 }, () => defineCommandCron('echo up; exec sleep 60', '1h').run(context(stop.signal)))
  while (lines.length < runs.length) await new Promise(setImmediate)
  t.is(process.listenerCount('exit'), before + 1)
  stop.abort(new Error('enough'))
  await Promise.allSettled(runs)
  t.is(process.listenerCount('exit'), before)
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0) && !isZombie(pid)
  } catch {
    return false
  }
}

function isZombie(pid: number): boolean {
  return /^\d+ \(.*\) Z/.test(process.getBuiltinModule('node:fs').readFileSync(`/proc/${pid}/stat`, 'utf8'))
}
