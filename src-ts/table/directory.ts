/** Where the tables of a server are files, for its other processes and for the `sluice` command. */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, realpathSync, statfsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { sluiceError } from '../errors.ts'
import { nativeTables } from '../native.ts'
import { forgetTables } from './define-table.ts'

/** A file system in memory, where there is one. */
const MEMORY = '/dev/shm'
/** Bytes that must be free there: a container may have as little as 64 MiB, and others may have filled it. */
const ROOM_BYTES = 16 * 2 ** 20

/** Names the directory to the addon of other processes. */
const VARIABLE = 'SLUICE_TABLES'

/** The directories that the tables of a state directory can be in, the preferred first. */
export function tablesDirectories(stateDir: string): readonly string[] {
  const uid = process.geteuid?.()
  const inState = join(stateDir, 'tables')
  if (uid === undefined) return [inState]
  const name = createHash('sha256').update(realPath(stateDir)).digest('hex').slice(0, 12)
  return [join(MEMORY, `sluice-${uid}-${name}`), inState]
}

/** Makes the tables of this process files from now on. Gives what removes them. @throws ERR_SLUICE_TABLE_FILE when no directory can be made */
export function useTablesDirectory(stateDir: string): () => void {
  let cause: unknown
  // Its real path is what others go by; what cannot be made is found out below.
  if (!existsSync(stateDir)) mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  for (const directory of tablesDirectories(stateDir)) {
    try {
      if (!isRoomy(directory)) continue
      mkdirSync(directory, { recursive: !directory.startsWith(MEMORY), mode: 0o700 })
    } catch (error) {
      cause = error
    }
    if (!isOwn(directory)) continue
    nativeTables.useTablesDirectory(directory)
    // For the processes that this one starts.
    process.env[VARIABLE] = directory
    return () => {
      delete process.env[VARIABLE]
      nativeTables.releaseTablesDirectory()
      forgetTables()
    }
  }
  throw sluiceError('ERR_SLUICE_TABLE_FILE', `There is no directory for the tables of ${stateDir}: neither in ${MEMORY} nor in it`, { cause })
}

/** Anybody can make a directory of that name in `/dev/shm`; it is used if it is ours and nobody else's. */
function isOwn(directory: string): boolean {
  const stat = lstatSync(directory, { throwIfNoEntry: false })
  return stat?.isDirectory() === true && (process.geteuid === undefined || (stat.uid === process.geteuid() && (stat.mode & 0o077) === 0))
}

function isRoomy(directory: string): boolean {
  if (!directory.startsWith(MEMORY)) return true
  const { bavail, bsize } = statfsSync(MEMORY)
  return bavail * bsize >= ROOM_BYTES
}

/** The same for every way to the directory. */
function realPath(directory: string): string {
  try {
    return realpathSync(directory)
  } catch {
    return resolve(directory)
  }
}
