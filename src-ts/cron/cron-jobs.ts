import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { NativeCron } from '../native.ts'
import type { CronMissed, CronOverlap } from './job.ts'

/** What is known of a cron job. Times are Unix ms. */
export interface CronJobInfo {
  readonly name: string
  /** Milliseconds; of a job that has an expression undefined. */
  readonly every?: number
  readonly cron?: string
  readonly timeZone?: string
  readonly overlap: CronOverlap
  readonly missed: CronMissed
  /** The next times, by the clock as it is now; none when it was stopped. */
  readonly next: readonly number[]
  /** Whether it was stopped, until the next reload. */
  readonly isStopped: boolean
  /** Runs that are not over. */
  readonly running: number
  /** Runs that were handed to the cron worker, since the server has this job. */
  readonly runs: number
  /** Those of them that threw, took too long, or were lost with the cron worker. */
  readonly failures: number
  /** Runs that were left out because of `overlap`. */
  readonly skipped: number
  /** Runs that were left out because it was too late for them. */
  readonly missedRuns: number
  /** The last run that is over: when it was handed to the cron worker, the milliseconds until its end, and whether it succeeded. */
  readonly last?: { readonly began: number; readonly ms: number; readonly ok: boolean }
}

/** What became of {@link CronJobs.run}: it runs; it runs when its predecessor is over; or it does not, as it runs already and may not run more. */
export type CronTrigger = 'begun' | 'queued' | 'busy'

const triggers = [undefined, 'busy', 'queued', 'begun'] as const
/** Most next times of each job. */
const NEXT_MAX = 10

/** The cron jobs of the server, from any of its threads. */
export class CronJobs {
  readonly #native: NativeCron
  readonly #server: () => number

  constructor(native: NativeCron, server: () => number) {
    this.#native = native
    this.#server = server
  }

  /** Every job in the order of the configuration, each with its next `next` times, up to 10. */
  list({ next = 3 }: { next?: number | undefined } = {}): CronJobInfo[] {
    if (!Number.isInteger(next) || next < 0 || next > NEXT_MAX) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`next\` must be a whole number from 0 to ${NEXT_MAX}, got ${String(next)}`)
    return JSON.parse(this.#native.cronList(this.#server(), next)) as CronJobInfo[]
  }

  /**
   * Runs a job now, beside its times; also one that was stopped.
   * @throws ERR_SLUICE_CRON_UNKNOWN when there is none of that name
   */
  run(name: string): CronTrigger {
    if (typeof name !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The name of a cron job must be a string, got ${typeof name}`)
    const trigger = triggers[this.#native.runCron(this.#server(), name)]
    if (trigger === undefined) throw sluiceError('ERR_SLUICE_CRON_UNKNOWN', `There is no cron job "${name}"`)
    return trigger
  }
}
