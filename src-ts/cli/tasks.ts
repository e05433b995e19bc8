import { columns } from './columns.ts'
import { ControlClient } from './control-client.ts'
import type { TasksAnswer, TasksParams } from './control-handlers.ts'
import type { TasksFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

/** A server whose master does not answer within this time is not well. */
const ANSWER_MS = 5_000

/** `sluice tasks`: queues and failed tasks of the running server. With `--retry` and `--forget` it exits with 1 when there was no such task. */
export async function tasks({ config, failed, forget, json, retry }: TasksFlags): Promise<ExitCode> {
  const params: TasksParams = { ...(retry !== undefined && { retry }), ...(forget !== undefined && { forget }) }
  const client = await ControlClient.connect((await findState(config)).socket)
  try {
    const answer = (await client.call('tasks', params, ANSWER_MS)) as TasksAnswer
    const isChange = retry !== undefined || forget !== undefined
    if (json) print([JSON.stringify(answer)])
    else if (isChange) print([`${count(answer.changed, 'task')} ${retry === undefined ? 'forgotten' : 'delivered again'}`])
    else print(failed ? failedLines(answer) : queueLines(answer))
    return isChange && answer.changed === 0 ? 1 : 0
  } finally {
    client.close()
  }
}

function queueLines({ queues, failed }: TasksAnswer): string[] {
  const rows = queues.map(({ name, waiting, delayed, running, done, failed: over }) => [name, waiting, delayed, running, done, over])
  const kept = failed.length === 0 ? [] : ['', `${count(failed.length, 'failed task')} kept: sluice tasks --failed`]
  return [...columns([['queue', 'waiting', 'delayed', 'running', 'done', 'failed'], ...rows]), ...kept]
}

function failedLines({ failed }: TasksAnswer): string[] {
  if (failed.length === 0) return ['No failed tasks']
  return columns([
    ['id', 'task', 'queue', 'tries', 'failed at', 'error'],
    ...failed.map(({ id, name, queue, attempts, failedAt, error }) => [id, name, queue, attempts, failedAt, (error.message.split('\n')[0] ?? '').slice(0, 120)]),
  ])
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
