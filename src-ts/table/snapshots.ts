/** Hearing of snapshots that cannot be written. */
import { forget, openMailbox, receive } from '../bridge/mailbox.ts'
import { codedError } from '../errors.ts'
import { nativeTables } from '../native.ts'

/**
 * Calls `report` when the snapshot of a table could not be written; it is tried again, and reported again only after it has been well. What
 * comes back writes the snapshots that are due and ends that.
 */
export function keepSnapshots(report: (error: Error) => void): () => void {
  openMailbox()
  const take = (): void => {
    const reports = JSON.parse(nativeTables.takeSnapshotReports()) as readonly { table: string; code: string | null; message: string | null }[]
    for (const { table, code, message } of reports) {
      if (code !== null) report(codedError(code, `The rows of table "${table}" could not be saved: ${message}`))
    }
  }
  const ticket = nativeTables.watchSnapshots()
  receive(ticket, take)
  return () => {
    nativeTables.writeSnapshots()
    take()
    forget(ticket)
  }
}
