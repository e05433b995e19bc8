import { JOB, type CronDef } from './job.ts'
import { toSpec } from './spec.ts'

/**
 * Defines a cron job: in `cron.jobs` of the configuration file, or as an export of a module of `cron.files`.
 *
 * @throws TypeError ERR_SLUICE_CRON for what is no job. An expression and a time zone are read when the server starts.
 */
export function defineCron(definition: CronDef): CronDef {
  toSpec(definition)
  // Not enumerable: it is as it was written. A module's exports are searched for it.
  return Object.defineProperty({ ...definition }, JOB, { value: true })
}
