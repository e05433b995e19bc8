import { sluiceError } from '../errors.ts'

/** What becomes of a run that is due while the one before it is not over: it is left out; it begins after it, one at most waits; it begins beside it, up to 16 at once. */
export type CronOverlap = 'skip' | 'queue' | 'allow'
/** What becomes of runs that are missed, more than a minute late or overtaken by a later one: they are left out, or one run makes up for all of them. */
export type CronMissed = 'skip' | 'once'

/** What every run of a cron job gets. */
export interface CronContext {
  /** Which run of the job this is, from 1. A reload does not begin anew unless the job has changed. */
  readonly tick: number
  /** For when it was planned. */
  readonly plannedAt: Date
  /** Aborted when the run takes longer than `timeout`, and when the cron worker must go and has waited long enough. */
  readonly signal: AbortSignal
  /** Greater than that of every run before on this server, for whatever must not hear of an older run after a newer one. It also grows over a restart, unless the clock was set back. */
  readonly fence: number
  /** Ends the job: it is not run any more, until the next reload or restart. What runs goes on. */
  stop(): void
}

/** A cron job. It has either `every` or `cron`. */
export interface CronDef {
  /** 1 to 240 bytes, unique in the server. A job that keeps its name and its times over a reload goes on as if nothing had happened. */
  readonly name: string
  /** Milliseconds, 1 or more, or a text as `'500ms'`, `'5s'`, `'5m'`, `'1h'`, `'1d'`: by a clock that is never set. */
  readonly every?: number | string | undefined
  /** Five fields, or six with the second first: `'0 3 * * *'`. By the clock on the wall of `timeZone`. */
  readonly cron?: string | undefined
  /** Name of the time zone of `cron`. @default that of the process */
  readonly timeZone?: string | undefined
  /** Run it at once when it is new, too. @default false */
  readonly immediate?: boolean | undefined
  /** @default 'skip' */
  readonly overlap?: CronOverlap | undefined
  /** @default 'skip' */
  readonly missed?: CronMissed | undefined
  /** Most a run may take, in milliseconds: then its signal is aborted, and it counts as failed. 0 = no limit. @default 0 */
  readonly timeout?: number | undefined
  /** What it does. Awaited; what it gives is nobody's. What it throws or rejects with is told to the `error` event, with the phase `cron`. */
  run(ctx: CronContext): unknown
}

/** On the class, so that a job is known as one by another copy of this module, too. */
export const JOB: unique symbol = Symbol.for('sluice.cron.job') as never
/** On an instance, by whoever runs it: how it is stopped. */
export const STOP: unique symbol = Symbol.for('sluice.cron.stop') as never

/**
 * A cron job as a class. One instance of it is made in the cron worker. Its name is `static id`, else the name of the class.
 *
 * It is configured as `Job`, or as `[Job, [interval, isImmediate]]`, which come before what its methods say.
 */
export abstract class CronJob {
  static readonly [JOB] = true as const
  declare [STOP]?: () => void

  /** Milliseconds, a text as `'5s'`, or a cron expression. It must be there unless the configuration has it. */
  interval(): number | string {
    return ''
  }

  /** Whether it runs at once when it is new, too. @default false */
  isImmediate(): boolean {
    return false
  }

  /** What it does; see {@link CronDef.run}. */
  abstract run(ctx: CronContext): unknown

  /** Ends the job, as {@link CronContext.stop}. @throws ERR_SLUICE_INVALID_STATE in an instance that no server runs */
  stop(): void {
    if (this[STOP] === undefined) throw sluiceError('ERR_SLUICE_INVALID_STATE', 'Nobody runs this cron job: stop() is for the instance that the cron worker has made')
    this[STOP]()
  }
}

/** A class that extends {@link CronJob}. */
export interface CronJobClass {
  new (): CronJob
  readonly name: string
  /** The job's name, where that of the class will not do. */
  readonly id?: string
}

/** A job as the configuration has it. */
export type CronEntry = CronDef | CronJobClass | readonly [CronJobClass, readonly [interval: number | string, isImmediate?: boolean]]
