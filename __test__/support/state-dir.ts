import { rmSync } from 'node:fs'
import { tablesDirectories } from '../../src-ts/table/directory.ts'

/** Removes a state directory, and the tables in memory that a server left there which was killed. */
export function removeState(stateDir: string): void {
  for (const directory of [...tablesDirectories(stateDir), stateDir]) rmSync(directory, { recursive: true, force: true })
}
