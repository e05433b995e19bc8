import { defineTable } from './define-table.ts'
import { keepSnapshots } from './snapshots.ts'
import type { TableSpec } from './spec.ts'
import type { Table } from './table.ts'

/** Tables by name. */
// oxlint-disable-next-line typescript/no-explicit-any -- each table has columns of its own
export type Tables = Readonly<Record<string, Table<any>>>

/** The tables of the configuration, each opened in this thread when it is first asked for. */
export function configuredTables(specs: Readonly<Record<string, TableSpec>>): Tables {
  const tables: Record<string, Table> = {}
  for (const [name, spec] of Object.entries(specs)) {
    let table: Table | undefined
    Object.defineProperty(tables, name, { enumerable: true, get: () => (table ??= defineTable(name, spec) as Table) })
  }
  return Object.freeze(tables)
}

/**
 * Makes the tables of the configuration, and says first where tables live: with a state directory in files that other processes can attach.
 * Gives what is to be called when the server has stopped. `report` hears of snapshots that cannot be written.
 * @throws ERR_SLUICE_TABLE_MISMATCH, ERR_SLUICE_TABLE_FILE; nothing is left then
 */
export async function openTables(tables: Tables, stateDir: string | undefined, report: (error: Error) => void): Promise<() => void> {
  // Only here: it needs more of Node than a worker loads.
  const leaveDirectory = stateDir === undefined ? () => {} : (await import('./directory.ts')).useTablesDirectory(stateDir)
  const endSnapshots = keepSnapshots(report)
  const release = (): void => {
    endSnapshots()
    leaveDirectory()
  }
  try {
    // To look at one makes it.
    Object.values(tables)
  } catch (error) {
    release()
    throw error
  }
  return release
}
