import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The state of a listening socket in `/proc/net/tcp`. */
const LISTENING = '0A'
/** Machines with more processes than this are not searched to the end: the answer is a courtesy. */
const PROCESSES_MAX = 10_000

/** The process that listens on a TCP port, as far as `/proc` tells this user; undefined where it does not. */
export function portHolder(port: number): { pid: number; name: string } | undefined {
  try {
    const inodes = listeningInodes(port)
    if (inodes.size === 0) return undefined
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).slice(0, PROCESSES_MAX)
    const pid = pids.find((candidate) => holdsSocket(candidate, inodes))
    return pid === undefined ? undefined : { pid: Number(pid), name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() }
  } catch {
    return undefined
  }
}

/** Lines of `/proc/net/tcp`: `sl local_address rem_address st … uid timeout inode`, addresses as `HEX:PORT`. */
function listeningInodes(port: number): Set<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => readFileSync(table, 'latin1').split('\n').slice(1))
  const columns = rows.map((row) => row.trim().split(/\s+/))
  return new Set(columns.filter((row) => row[1]?.endsWith(suffix) && row[3] === LISTENING).map((row) => `socket:[${row[9]}]`))
}

function holdsSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  const directory = `/proc/${pid}/fd`
  return namesIn(directory).some((descriptor) => inodes.has(linkTarget(`${directory}/${descriptor}`)))
}

/** Nothing of another user's process, or of one that has just ended. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** Empty for a descriptor that has just been closed. */
function linkTarget(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
