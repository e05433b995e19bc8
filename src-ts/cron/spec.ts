import { sluiceTypeError } from '../errors.ts'
import { isInterval, parseInterval } from './interval.ts'
import { JOB, STOP, type CronContext, type CronDef, type CronJobClass } from './job.ts'

/** A job as it is run: one of these for each, however it was written. */
export interface CronSpec {
  /** What the core gets of it. */
  readonly job: {
    readonly name: string
    readonly every?: number
    readonly cron?: string
    readonly timeZone?: string | undefined
    readonly immediate: boolean
    readonly overlap: string
    readonly missed: string
    readonly timeout: number
  }
  run(ctx: CronContext): unknown
  /** Tells an instance how it is stopped. */
  readonly adopt?: (stop: () => void) => void
}

const members = new Set(['name', 'every', 'cron', 'timeZone', 'immediate', 'overlap', 'missed', 'timeout', 'run'])

/** Reads an entry of `cron.jobs`. @throws TypeError ERR_SLUICE_CRON; the message begins with `where` if the job has no name */
export function toSpec(entry: unknown, where = 'The cron job'): CronSpec {
  if (isJobClass(entry)) return ofClass(entry, undefined, undefined)
  if (Array.isArray(entry)) return ofPair(entry, where)
  if (typeof entry !== 'object' || entry === null) throw fault(`${where} must be what defineCron() gives, a class that extends CronJob, or [class, [interval, isImmediate]], got ${entry === null ? 'null' : typeof entry}`)
  return ofDefinition(entry as Partial<CronDef>, where)
}

/** Whether a value is a class that extends `CronJob`, by whichever copy of it. */
export function isJobClass(value: unknown): value is CronJobClass {
  return typeof value === 'function' && (value as unknown as Record<symbol, unknown>)[JOB] === true
}

/** Whether a module exports it as a job: a class, or what `defineCron` gave. */
export function isJob(value: unknown): boolean {
  if (isJobClass(value)) return 'run' in (value.prototype as object)
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[JOB] === true
}

function ofDefinition(definition: Partial<CronDef>, where: string): CronSpec {
  const { name, every, cron, timeZone, immediate = false, overlap = 'skip', missed = 'skip', timeout = 0, run } = definition
  if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > NAME_BYTES_MAX) throw fault(`${where} must have a \`name\` of 1 to ${NAME_BYTES_MAX} bytes, got ${shown(name)}`)
  const job = `Cron job "${name}"`
  const unknown = Object.keys(definition).find((key) => !members.has(key))
  if (unknown !== undefined) throw fault(`${job} has an unknown member \`${unknown}\``)
  if (typeof run !== 'function') throw fault(`${job}: \`run\` must be a function, got ${typeof run}`)
  if ((every === undefined) === (cron === undefined)) throw fault(`${job} needs either \`every\` or \`cron\``)
  if (cron !== undefined && typeof cron !== 'string') throw fault(`${job}: \`cron\` must be a string, got ${typeof cron}`)
  if (timeZone !== undefined && typeof timeZone !== 'string') throw fault(`${job}: \`timeZone\` must be a string, got ${typeof timeZone}`)
  if (timeZone !== undefined && cron === undefined) throw fault(`${job}: \`timeZone\` is for \`cron\`; \`every\` goes by no clock on the wall`)
  if (typeof immediate !== 'boolean') throw fault(`${job}: \`immediate\` must be true or false, got ${shown(immediate)}`)
  if (!['skip', 'queue', 'allow'].includes(overlap)) throw fault(`${job}: \`overlap\` must be "skip", "queue" or "allow", got ${shown(overlap)}`)
  if (!['skip', 'once'].includes(missed)) throw fault(`${job}: \`missed\` must be "skip" or "once", got ${shown(missed)}`)
  if (timeout !== 0 && !isInterval(timeout)) throw fault(`${job}: \`timeout\` must be a whole number of milliseconds ≥ 0, got ${shown(timeout)}`)
  const times = cron === undefined ? { every: milliseconds(every, job, '`every`') } : { cron, timeZone }
  return { job: { name, ...times, immediate, overlap, missed, timeout }, run: (ctx) => run.call(definition, ctx) }
}

function ofPair(entry: readonly unknown[], where: string): CronSpec {
  const [job, options] = entry
  if (entry.length !== 2 || !isJobClass(job)) throw fault(`${where} must be [class that extends CronJob, [interval, isImmediate]]`)
  if (!Array.isArray(options) || options.length < 1 || options.length > 2) throw fault(`Cron job "${nameOf(job)}" must come with [interval, isImmediate], got ${shown(options)}`)
  return ofClass(job, options[0], options[1])
}

function ofClass(Job: CronJobClass, interval: unknown, isImmediate: unknown): CronSpec {
  const name = nameOf(Job)
  const instance = new Job()
  const title = `Cron job "${name}"`
  const immediate: unknown = isImmediate ?? instance.isImmediate()
  const times: unknown = interval ?? instance.interval()
  if (times === '' || times === undefined) throw fault(`${title} has no interval: it needs a method interval(), or [${name}, [interval]] in the configuration`)
  if (typeof immediate !== 'boolean') throw fault(`${title}: isImmediate() must give true or false, got ${shown(immediate)}`)
  // A text that is no length of time is an expression; what is wrong with it the core knows best.
  const isExpression = typeof times === 'string' && parseInterval(times) === undefined
  return {
    job: { name, ...(isExpression ? { cron: times } : { every: milliseconds(times, title, 'its interval') }), immediate, overlap: 'skip', missed: 'skip', timeout: 0 },
    run: (ctx) => instance.run(ctx),
    adopt: (stop) => void (instance[STOP] = stop),
  }
}

/** Longest name: it is part of that of a task. */
const NAME_BYTES_MAX = 240

function nameOf(Job: CronJobClass): string {
  // A subclass is another job: it does not have its parent's.
  const name: unknown = Object.hasOwn(Job, 'id') ? Job.id : Job.name
  if (typeof name === 'string' && name !== '' && Buffer.byteLength(name) <= NAME_BYTES_MAX) return name
  throw fault(`A class of a cron job must have a name or a \`static id\` of 1 to ${NAME_BYTES_MAX} bytes, got ${shown(name)}`)
}

function milliseconds(value: unknown, job: string, what: string): number {
  const amount = typeof value === 'string' ? parseInterval(value) : value
  if (isInterval(amount)) return amount
  throw fault(`${job}: ${what} must be a whole number of milliseconds ≥ 1, or "500ms", "5s", "5m", "1h" or "1d", got ${shown(value)}`)
}

function fault(message: string): Error {
  return sluiceTypeError('ERR_SLUICE_CRON', message)
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  return typeof value === 'object' && value !== null ? (Array.isArray(value) ? 'a list' : 'an object') : typeof value === 'function' ? 'a function' : String(value)
}
