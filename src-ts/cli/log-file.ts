import { chownSync, closeSync, fchownSync, mkdirSync, openSync, readdirSync, writeSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Account } from '../process/privileges.ts'

/**
 * A file that lines are appended to. Written synchronously, so that the last words before an end are not lost and nothing piles
 * up in memory; what is logged here is events of the server, not requests.
 */
export class LogFile {
  readonly #path: string
  #descriptor: number

  /** Opens or creates the file, and its directory. Throws the system's error. */
  constructor(path: string) {
    this.#path = path
    mkdirSync(dirname(path), { recursive: true })
    this.#descriptor = openSync(path, 'a', 0o640)
  }

  /** A line that cannot be written is dropped: a full disk must not stop the server. */
  write(data: string | Uint8Array): void {
    try {
      if (typeof data === 'string') writeSync(this.#descriptor, data)
      else writeSync(this.#descriptor, data)
    } catch {
      // There is no other place to tell it.
    }
  }

  /** Lets another user go on with it: the file, and its directory if nothing else is in it. Throws the system's error. */
  giveTo({ uid, gid }: Account): void {
    if (process.geteuid?.() !== 0) return
    fchownSync(this.#descriptor, uid, gid)
    const directory = dirname(this.#path)
    if (readdirSync(directory).every((name) => name === basename(this.#path))) chownSync(directory, uid, gid)
  }

  /** Goes on in a new file of the same name, after the old one was moved away. If that cannot be opened, in the old one. */
  reopen(): void {
    let descriptor: number
    try {
      descriptor = openSync(this.#path, 'a', 0o640)
    } catch (error) {
      this.write(`Cannot open ${this.#path} again: ${(error as Error).message}\n`)
      return
    }
    closeSync(this.#descriptor)
    this.#descriptor = descriptor
  }

  /** Takes everything that this process and its workers write to standard output and error from now on. */
  captureOutput(): void {
    for (const stream of [process.stdout, process.stderr]) {
      stream.write = (data: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean => {
        this.write(data)
        const done = typeof encoding === 'function' ? encoding : callback
        if (typeof done === 'function') process.nextTick(done)
        return true
      }
    }
  }
}
