/**
 * Whether a process of its own has the same tables and atomics as its server. Both are files where the server has a state directory that was named. But what the program
 * used before the server was started, a module that its configuration imports for example, lies in memory of that process alone: a process of its own would make another one of the same
 * name, and nobody would be told.
 */
import { randomBytes } from 'node:crypto'

import { AtomicLong } from '../../atomic.ts'
import { sluiceError } from '../../errors.ts'
import { native, nativeTables, replaceNative } from '../../native.ts'

/** An atomic of ours, whose value says whose memory it is. */
const MARK = 'sluice:memory'

/** The value of the mark in the memory of the server's process; undefined where there is no room for it, or no file. */
export function markAtomics(): bigint | undefined {
  try {
    return new AtomicLong(MARK, randomBytes(8).readBigInt64LE()).get()
  } catch {
    return undefined
  }
}

/**
 * Refuses what would be another thing than it is in the server. In the process of its own, before it imports anything of the application. `ownTables`: the names of those that the
 * server's process has in memory of its own; `mark`: asks for that of its atomics.
 */
export function checkMemory(ownTables: readonly string[], mark: () => unknown): void {
  if (process.env['SLUICE_TABLES'] === undefined) {
    replaceNative({ atomicCell: refuseAll, openTable: refuseAll })
    return
  }
  const { atomicCell } = native
  let isSame: boolean | undefined
  replaceNative({
    // The memory is made with the first atomic, on either side.
    atomicCell: (name, ...rest) => {
      if (isSame === undefined) {
        isSame = true
        const value = mark()
        isSame = value !== undefined && value === new AtomicLong(MARK).get()
      }
      if (!isSame) throw sluiceError('ERR_SLUICE_INVALID_STATE', 'The program used atomics before its server was started: they are memory of that process alone')
      return atomicCell(name, ...rest)
    },
  })
  if (ownTables.length === 0) return
  const { openTable } = nativeTables
  replaceNative({
    openTable: (name, ...rest) => {
      if (ownTables.includes(name)) throw sluiceError('ERR_SLUICE_INVALID_STATE', `The program defined the table "${name}" before its server was started: it is memory of that process alone. Those in \`tables\` of the configuration are not`)
      return openTable(name, ...rest)
    },
  })
}

function refuseAll(): never {
  throw sluiceError('ERR_SLUICE_INVALID_STATE', 'A process of its own shares tables and atomics with its server only if the state directory is named: `stateDir`')
}
