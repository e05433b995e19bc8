import { findFiles, useFile } from '../tasks/files.ts'
import { isJob, toSpec, type CronSpec } from './spec.ts'

/**
 * The jobs of `cron.jobs`, then those that the modules of `cron.files` export. They are relative to `root`.
 * Rejects with ERR_SLUICE_CRON for what is no job, and with ERR_SLUICE_WORKER_START for a module that throws.
 */
export async function loadJobs(entries: readonly unknown[], files: readonly string[], root: string): Promise<CronSpec[]> {
  const specs = entries.map((entry, index) => toSpec(entry, `cron.jobs[${index}]`))
  const known = new Set(entries)
  for (const path of findFiles(files, root, 'cron.files')) {
    for (const value of await useFile(path, exportsOf)) {
      // It may be exported under two names, and be in the configuration, too.
      if (known.has(value) || !isJob(value)) continue
      known.add(value)
      specs.push(toSpec(value))
    }
  }
  return specs
}

/** Also those in the object that a CommonJS module is. */
function exportsOf(module: Record<string, unknown>): unknown[] {
  const { default: inner, ...named } = module
  return [inner, ...Object.values(named), ...(typeof inner === 'object' && inner !== null ? Object.values(inner) : [])]
}

export { runJobs } from './run-jobs.ts'
