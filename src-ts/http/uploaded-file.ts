import { createReadStream } from 'node:fs'
import { chmod, copyFile, rename, rm, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { sluiceError } from '../errors.ts'

/** What is wrong with an uploaded file, in PHP's numbers. */
export type UploadErrorCode = 0 | 1 | 2 | 3 | 4 | 6 | 7

const MEANINGS: Record<UploadErrorCode, string> = {
  0: '',
  1: 'it is longer than uploads.fileBytes',
  2: 'it is longer than the MAX_FILE_SIZE of its form',
  3: 'only a part of it has come',
  4: 'no file was chosen',
  6: 'there is no directory for temporary files',
  7: 'it could not be written',
}

/** What the core says of a file. */
export interface FileRecord {
  readonly field: string
  readonly name: string
  readonly type: string
  readonly size: number
  readonly path: string
  readonly error: UploadErrorCode
  readonly reason?: string
}

/**
 * A file that came with a form. It is removed when its request is over, with the functions of `ctx.after()`; {@link moveTo} keeps it.
 *
 * Nothing in it but {@link size} and {@link path} is the server's word: name and type are what the client says.
 */
export class UploadedFile {
  /** The name of the form's field. */
  readonly field: string
  /** The name of the file at the client, without directories. Not to be used as a path; '' when no file was chosen. */
  readonly name: string
  /** The media type that the client has guessed; '' when it has not. */
  readonly type: string
  /** In bytes. */
  readonly size: number
  /** Where it is; '' when there is an {@link error}, or when it is in memory (`uploads.spoolAbove`). */
  readonly path: string
  /**
   * 0: it is all there. 1: longer than `uploads.fileBytes`. 2: longer than the form's own MAX_FILE_SIZE. 4: no file was chosen. 6: no
   * directory for temporary files. 7: it could not be written. 3, a part of it, does not occur: the form fails as a whole then.
   */
  readonly error: UploadErrorCode
  readonly #reason: string | undefined
  readonly #bytes: () => Uint8Array | undefined
  #movedTo: string | undefined

  /** Made by {@link Context.form}. */
  constructor(record: FileRecord, bytes: () => Uint8Array | undefined) {
    this.field = record.field
    this.name = record.name
    this.type = record.type
    this.size = record.size
    this.path = record.path
    this.error = record.error
    this.#reason = record.reason
    this.#bytes = bytes
  }

  /**
   * Moves it to `path`, relative to the working directory; what is there is replaced. `mode`: the file's, @default 0o600.
   * @throws ERR_SLUICE_UPLOAD when there is an {@link error}, the request is over, or it cannot be moved; `cause` is the system's error
   */
  async moveTo(path: string, { mode }: { readonly mode?: number } = {}): Promise<void> {
    this.#check()
    try {
      if (this.path === '') await writeFile(path, this.#held(), { mode: 0o600 })
      else await move(this.#movedTo ?? this.path, path)
      this.#movedTo = path
      if (mode !== undefined) await chmod(path, mode)
    } catch (cause) {
      throw sluiceError('ERR_SLUICE_UPLOAD', `The file ${JSON.stringify(this.name)} cannot be moved to ${JSON.stringify(path)}: ${messageOf(cause)}`, { cause })
    }
  }

  /** Its content. @throws ERR_SLUICE_UPLOAD when there is an {@link error}; the stream fails when the file is no longer there */
  stream(): ReadableStream<Uint8Array> {
    this.#check()
    const source = this.path === '' && this.#movedTo === undefined ? Readable.from([this.#held()], { objectMode: false }) : createReadStream(this.#movedTo ?? this.path)
    return Readable.toWeb(source) as ReadableStream<Uint8Array>
  }

  #held(): Uint8Array {
    const bytes = this.#bytes()
    if (bytes === undefined) throw sluiceError('ERR_SLUICE_UPLOAD', `The file ${JSON.stringify(this.name)} is gone, because its request is over`)
    return bytes
  }

  #check(): void {
    if (this.error === 0) return
    const why = this.#reason === undefined ? '' : ` (${this.#reason})`
    throw sluiceError('ERR_SLUICE_UPLOAD', `The file ${JSON.stringify(this.name)} is not there: ${MEANINGS[this.error]}${why}`)
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EXDEV')) throw error
    // To another file system; whoever looks there sees the whole file or none.
    const near = `${to}.${process.pid}.${Math.random().toString(36).slice(2)}`
    try {
      await copyFile(from, near)
      await rename(near, to)
    } catch (failure) {
      await rm(near, { force: true })
      throw failure
    }
    await rm(from, { force: true })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
