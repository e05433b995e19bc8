import { sluiceTypeError } from '../errors.ts'
import type { NativeServer } from '../native.ts'
import type { ResolvedConfig } from '../options.ts'

/** Numbers of a user and a group. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

type Names = Pick<ResolvedConfig, 'user' | 'group'>
/** Missing in the types of Node 20. */
interface Initgroups {
  initgroups(user: string | number, group: string | number): void
}
type LookUp = Pick<NativeServer, 'lookUpOwner'>

/** Who a server goes on as when its ports are bound; undefined: who it is. @throws ERR_SLUICE_INVALID_OPTION for names that nobody has */
export function accountOf({ user, group }: Names, native: LookUp): Account | undefined {
  if (user === undefined && group === undefined) return undefined
  if (process.getuid === undefined || process.getgid === undefined) throw refused(user, group, 'this system has no users to change to')
  const [uid, gid] = lookUp(user, group, native)
  if (gid === null && user !== undefined) throw refused(user, group, 'it has no account to tell its group, so `group` is required')
  return { uid: uid ?? process.getuid(), gid: gid ?? process.getgid() }
}

/**
 * Makes the whole process, all threads that exist and all that will, the configured user: for good, and without root's
 * groups. On the main thread. Does nothing when it is that user already.
 * @throws ERR_SLUICE_INVALID_OPTION when that is not possible; then nothing has changed, or the process must end
 */
export function dropPrivileges(names: Names, native: LookUp): void {
  const account = accountOf(names, native)
  if (account === undefined) return
  const { user, group } = names
  const { setgid, setgroups, setuid } = process
  if (setgid === undefined || setuid === undefined || setgroups === undefined) throw refused(user, group, 'only the main thread can change it')
  if (process.geteuid?.() !== 0) {
    if (process.getuid?.() === account.uid && process.getgid?.() === account.gid) return
    throw refused(user, group, 'only root can become somebody else')
  }
  // The user last: after that nothing else is allowed.
  if (user !== undefined && lookUp(user, undefined, native)[1] !== null) (process as unknown as Initgroups).initgroups(isNumber(user) ? Number(user) : user, account.gid)
  else setgroups([account.gid])
  setgid(account.gid)
  if (user !== undefined) setuid(account.uid)
  if (account.uid !== 0 && canBecomeRoot()) throw refused(user, group, 'the process could become root again')
}

function canBecomeRoot(): boolean {
  try {
    process.setuid?.(0)
    return true
  } catch {
    return false
  }
}

function lookUp(user: string | undefined, group: string | undefined, native: LookUp): readonly [uid: number | null, gid: number | null] {
  try {
    return native.lookUpOwner(group === undefined ? `${user}` : `${user ?? ''}:${group}`)
  } catch (cause) {
    throw refused(user, group, (cause as Error).message, cause)
  }
}

const isNumber = (name: string): boolean => /^\d+$/.test(name)

function refused(user: string | undefined, group: string | undefined, why: string, cause?: unknown): TypeError {
  const option = user === undefined ? `group "${group}"` : `user "${user}"`
  return sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `The server cannot go on as ${option}: ${why}`, { cause })
}
