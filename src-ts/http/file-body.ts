import { createReadStream } from 'node:fs'
import { basename, extname, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { getSystemErrorMap } from 'node:util'
import { TEMPLATE_SHIFT } from '../bridge/record.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { Answerable } from './exchange.ts'
import { type FieldsInit, HeaderBlock } from './header-block.ts'

/** Options of `ctx.file()`. */
export interface FileOptions {
  /** Makes browsers save the file, under this name. @default undefined they show it, if they can */
  download?: string | undefined
  /** Removes the file once it is sent, also if only its head is, or its client has left. @default false */
  deleteAfter?: boolean | undefined
  /** Fields of the answer. `content-type`, `etag` and `last-modified` stand in for those of the file. */
  headers?: FieldsInit | undefined
}

/** A body that is a file. The core opens it when the answer is sent, and sends what the request asks of it. */
export class FileBody {
  readonly path: string
  /** The name that tells the media type. */
  readonly mediaName: string
  readonly isRemoved: boolean

  constructor(path: string, mediaName: string, isRemoved: boolean) {
    this.path = path
    this.mediaName = mediaName
    this.isRemoved = isRemoved
  }

  /** Answers with it. @throws ERR_SLUICE_FILE when it cannot be opened, and nothing was sent */
  send(exchange: Answerable, status: number, block: HeaderBlock): void {
    const meta = status | (block.template << TEMPLATE_SHIFT) | block.flags
    const errno = exchange.host.commands.respondFile(exchange, meta, block.lines, this)
    if (errno > 0) throw fileError(this.path, errno)
  }

  /** The content, for who reads the response instead of sending it. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return Readable.toWeb(createReadStream(this.path)) as ReadableStream<Uint8Array<ArrayBuffer>>
  }
}

/**
 * The body and the header of an answer with a file. A relative `path` starts at `root`.
 *
 * @throws TypeError ERR_SLUICE_INVALID_ARG for a path that no file can have, and for options that cannot be used
 */
export function fileBody(root: string, path: string, options: FileOptions = {}): { body: FileBody; fields: [string, string][] } {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The path of a file must be a string without NUL, got ${JSON.stringify(path) ?? String(path)}`)
  const { deleteAfter = false, download, headers } = options
  if (typeof deleteAfter !== 'boolean') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'deleteAfter must be true or false')
  const fields: [string, string][] = headers === undefined ? [] : [...HeaderBlock.from(headers).toHeaders()]
  if (download !== undefined) {
    if (typeof download !== 'string' || download === '') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'download must be the name of a file')
    fields.push(['content-disposition', attachment(download)])
  }
  const absolute = resolve(root, path)
  const mediaName = extname(absolute) === '' && download !== undefined ? download : absolute
  return { body: new FileBody(absolute, mediaName, deleteAfter), fields }
}

/** `attachment` with a name in the forms of RFC 6266: for old clients what ASCII can say of it, for all others UTF-8 (RFC 8187). */
export function attachment(name: string): string {
  // A name has no folders, and no client should believe in them. Half a surrogate pair becomes U+FFFD.
  const base = basename(Buffer.from(name).toString().replaceAll('\\', '/')).replaceAll(/\p{Cc}/gu, '_') || '_'
  const plain = base.replaceAll(/[^ -~]/gu, '?')
  const quoted = `attachment; filename="${plain.replaceAll(/["\\]/g, (character) => `\\${character}`)}"`
  // A percent sign is decoded by some clients, too.
  if (plain === base && !base.includes('%')) return quoted
  const encoded = encodeURIComponent(base).replaceAll(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
  return `${quoted}; filename*=UTF-8''${encoded}`
}

function fileError(path: string, errno: number): Error {
  const [code, reason] = getSystemErrorMap().get(-errno) ?? ['EIO', 'i/o error']
  const text = code === 'EINVAL' ? 'not a regular file' : reason
  const cause = Object.assign(new Error(`${code}: ${text}, open '${path}'`), { errno: -errno, code, syscall: 'open', path })
  return sluiceError('ERR_SLUICE_FILE', `File ${path} cannot be sent: ${text}`, { cause })
}
