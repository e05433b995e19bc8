import { codedError } from '../errors.ts'
import type { NativeCron } from '../native.ts'
import { CRON_PREFIX } from '../tasks/name.ts'
import { isThenable } from '../thenable.ts'
import type { CronContext } from './job.ts'
import type { CronSpec } from './spec.ts'

/** What jobs are run with. */
export interface CronHost {
  readonly native: NativeCron
  /** The core's number of the server. */
  readonly server: number
  /** The attachment of this thread. */
  readonly worker: number
  /** Whether jobs that were stopped go on again: after a reload, not after a crash. */
  readonly revives: boolean
  /** Makes this thread run what the core calls `name`. */
  readonly define: (name: string, run: (input: unknown, ctx: { readonly signal: AbortSignal }) => unknown) => void
}

/**
 * Hands the list of jobs to the core, which begins with it when this worker is activated, and knows what to do when it calls.
 * @throws TypeError ERR_SLUICE_CRON for an expression, a time zone or a list that cannot be used; nothing has changed then
 */
export function runJobs(specs: readonly CronSpec[], host: CronHost): void {
  const { define, native, revives, server, worker } = host
  try {
    native.setCron(worker, JSON.stringify(specs.map(({ job }) => withZone(job))), revives)
  } catch (error) {
    // The addon knows one class of errors.
    throw error instanceof Error && 'code' in error ? codedError(error.code, error.message) : error
  }
  for (const { job, run, adopt } of specs) {
    const stop = (): void => void native.stopCron(server, job.name)
    adopt?.(stop)
    define(CRON_PREFIX + job.name, (input, call) => {
      const result: unknown = run(contextOf(String(input), call, stop))
      // Nobody wants what it gives, which need not be fit to travel.
      return isThenable(result) ? result.then(() => undefined) : undefined
    })
  }
}

/** `input`: what the core says of a run, `tick planned fence`. */
function contextOf(input: string, call: { readonly signal: AbortSignal }, stop: () => void): CronContext {
  const [tick = 0, planned = 0, fence = 0] = input.split(' ').map(Number)
  return {
    tick,
    plannedAt: new Date(planned),
    fence,
    stop,
    get signal() {
      return call.signal
    },
  }
}

/** The time zone of the process is asked for only when a job goes by it: the first call takes a while. */
function withZone(job: CronSpec['job']): CronSpec['job'] {
  return job.cron === undefined || job.timeZone !== undefined ? job : { ...job, timeZone: new Intl.DateTimeFormat().resolvedOptions().timeZone }
}
