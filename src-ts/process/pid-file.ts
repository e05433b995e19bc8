import { closeSync, fchownSync, fstatSync, linkSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'

/**
 * The file that says which process is the master: its pid in decimal and a line feed, so that `kill -USR1 $(cat sluice.pid)`
 * works. The master keeps the file open while it lives, and that is how a process that merely got the pid of a dead master is
 * told apart where `/proc` shows what a process has open.
 */
export class PidFile {
  readonly #path: string
  readonly #descriptor: number

  private constructor(path: string, descriptor: number) {
    this.#path = path
    this.#descriptor = descriptor
  }

  /**
   * Writes the calling process's pid. A stale file is replaced; the pid of a master that runs is returned instead.
   * Throws what the file system throws.
   */
  static claim(path: string): PidFile | number {
    // Written under another name first: whoever sees the file sees a pid in it.
    const draft = `${path}.${process.pid}`
    rmSync(draft, { force: true })
    const descriptor = openSync(draft, 'wx', 0o644)
    try {
      writeSync(descriptor, `${process.pid}\n`)
      const running = linkUnlessRunning(draft, path)
      if (running === undefined) return new PidFile(path, descriptor)
      closeSync(descriptor)
      return running
    } catch (error) {
      closeSync(descriptor)
      throw error
    } finally {
      rmSync(draft, { force: true })
    }
  }

  /** Lets another user remove it, too. Throws what the file system throws. */
  giveTo(uid: number, gid: number): void {
    fchownSync(this.#descriptor, uid, gid)
  }

  /** Removes the file, unless another master has taken its place. May be called again. */
  release(): void {
    try {
      if (fstatSync(this.#descriptor).ino === statSync(this.#path).ino) rmSync(this.#path, { force: true })
      closeSync(this.#descriptor)
    } catch {
      // It is gone already, or its directory is: nothing is left to remove.
    }
  }
}

/** The pid of the master that wrote the file and still runs; undefined when there is no file or nobody behind it. */
export function runningPid(path: string): number | undefined {
  let text: string
  try {
    text = readFileSync(path, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const pid = Number(/^(\d{1,10})\n?$/.exec(text)?.[1])
  // Its own pid in a file it did not write: in a container the pids of one run come again in the next.
  if (!(pid > 0) || pid === process.pid || !isAlive(pid)) return undefined
  return hasOpen(pid, path) === false ? undefined : pid
}

/** Whether a process exists. One that belongs to another user does (EPERM). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** How often a stale file may come back while it is being replaced, before another starting master is assumed. */
const CLAIM_TRIES = 3

function linkUnlessRunning(draft: string, path: string): number | undefined {
  for (let attempt = 1; ; attempt++) {
    try {
      linkSync(draft, path)
      return undefined
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt === CLAIM_TRIES) throw error
      const pid = runningPid(path)
      if (pid !== undefined) return pid
      rmSync(path, { force: true })
    }
  }
}

/** Whether a process has a file open; undefined where the system does not tell. */
function hasOpen(pid: number, path: string): boolean | undefined {
  const directory = `/proc/${pid}/fd`
  try {
    const { ino, dev } = statSync(path)
    // A master opens the file before any connection, so it is among the first.
    const descriptors = readdirSync(directory).map(Number).sort((a, b) => a - b)
    return descriptors.some((descriptor) => {
      const open = statSync(`${directory}/${descriptor}`, { throwIfNoEntry: false })
      return open?.ino === ino && open.dev === dev
    })
  } catch {
    return undefined
  }
}
