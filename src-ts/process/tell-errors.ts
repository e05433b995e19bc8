import { toRecord } from './error-record.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { MasterLink } from './master-link.ts'
import { ReportLimit } from './report-limit.ts'

/** Tells the master of the error that ends this thread or process, and of those that do not. */
export function tellErrors(link: MasterLink, lifecycle: Lifecycle): void {
  const reports = new ReportLimit()
  // Node ends it after this; the master should learn the reason and the stack of what it was, not only that it was.
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    link.tell({ type: 'fatal', reason: origin === 'unhandledRejection' ? 'reject' : 'throw', error: toRecord(error) })
  })
  lifecycle.on('error', (error, { phase, task }) => {
    const more = reports.pass(performance.now())
    if (more !== undefined) link.tell({ type: 'error', phase, ...(task !== undefined && { task }), error: toRecord(error), more })
  })
}
