import { TEMPLATE_SHIFT } from '../bridge/record.ts'
import { sluiceRangeError } from '../errors.ts'
import { type ChunkSource, fromIterable, fromStream } from './chunk-source.ts'
import { isCoded } from './content-coding.ts'
import type { Answerable } from './exchange.ts'
import { FileBody } from './file-body.ts'
import { type FieldsInit, HeaderBlock } from './header-block.ts'
import { OutgoingStream } from './outgoing-stream.ts'
import { Takeover } from './takeover.ts'
import { headerBlockOf, isSluiceResponse, type KeptBody, type SluiceResponse, takeBody } from './response.ts'

/** The longest body that is compressed in one go: about a millisecond of the worker's thread. */
const AT_ONCE_BYTES = 128 * 1024
/** A longer one is compressed in pieces of this. */
const PIECE_BYTES = 64 * 1024

/** An answer that is not our class: Node's own, or that of another library. */
export interface ResponseLike {
  readonly status: number
  readonly headers: Iterable<[string, string]>
  readonly body: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string> | null
  readonly bodyUsed?: boolean
  readonly url?: string
}

/** Whether `value` can be sent. */
export function isResponse(value: unknown): value is SluiceResponse | ResponseLike {
  if (isSluiceResponse(value)) return true
  if (typeof value !== 'object' || value === null) return false
  const like = value as Partial<Record<keyof ResponseLike, unknown>>
  return (
    typeof like.status === 'number' &&
    typeof like.headers === 'object' && like.headers !== null && Symbol.iterator in like.headers &&
    (like.body === null || typeof like.body === 'object')
  )
}

/**
 * Sends an answer. Gives a promise when the body is a stream: it resolves when that is over, and rejects when it had to be
 * broken off.
 *
 * @throws what makes the answer unsendable, before anything was sent: a header, a status, a body that was read before
 */
export function send(exchange: Answerable, response: SluiceResponse | ResponseLike): Promise<void> | undefined {
  if (isSluiceResponse(response)) return dispatch(exchange, response.status, headerBlockOf(response), takeBody(response))
  const { status, body } = response
  if (!Number.isInteger(status) || status < 200 || status > 599) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `Response status must be a whole number from 200 to 599, got ${status}`)
  if (response.bodyUsed === true) throw new TypeError('The response body was read before it could be sent')
  const block = HeaderBlock.from(response.url === undefined || response.url === '' ? response.headers as FieldsInit : decoded(response.headers))
  return dispatch(exchange, status, block, body)
}

function dispatch(exchange: Answerable, status: number, block: HeaderBlock, body: KeptBody): Promise<void> | undefined {
  const { commands } = exchange.host
  const meta = status | (block.template << TEMPLATE_SHIFT) | block.flags | exchange.coding
  if (typeof body === 'string' || body instanceof Uint8Array) {
    if (isCoded(meta) && body.length > AT_ONCE_BYTES) {
      const bytes = typeof body === 'string' ? Buffer.from(body) : body
      if (commands.mayEncode(meta, block.lines, bytes.byteLength)) return stream(exchange, meta, block.lines, bytes.byteLength, fromIterable(piecesOf(bytes)))
    }
    commands.respond(exchange, meta, block.lines, body)
    return undefined
  }
  if (body === null) {
    // An answer to HEAD may tell the length of the body that GET would get.
    if (exchange.isHead && block.length >= 0) sendHeadOnly(exchange, meta, block.lines, block.length)
    else commands.respond(exchange, meta, block.lines, null)
    return undefined
  }
  if (body instanceof FileBody) {
    body.send(exchange, status, block)
    return undefined
  }
  if (body instanceof Takeover) return body.take(exchange.takeOver(), block)
  const length = body instanceof Blob ? body.size : block.length
  const source: ChunkSource = body instanceof Blob ? fromStream(body.stream()) : body instanceof ReadableStream ? fromStream(body) : fromIterable(body)
  return stream(exchange, meta, block.lines, length, source)
}

function stream(exchange: Answerable, meta: number, lines: string, length: number, source: ChunkSource): Promise<void> | undefined {
  const { commands } = exchange.host
  if (exchange.isHead) {
    sendHeadOnly(exchange, meta, lines, length)
    source.cancel(undefined)
    return undefined
  }
  exchange.keep()
  if (!commands.respondHead(exchange, meta, lines, length)) {
    source.cancel(new DOMException('The client has left', 'AbortError'))
    return undefined
  }
  return new OutgoingStream(exchange, source, length).run()
}

/** A body that is compressed in pieces: other requests of the worker get their turn between two of them. */
async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  // The application may change its buffer as soon as the answer is given.
  const own = bytes.slice()
  for (let at = 0; at < own.byteLength; at += PIECE_BYTES) {
    if (at > 0) await new Promise<void>((resolve) => setImmediate(resolve))
    yield own.subarray(at, at + PIECE_BYTES)
  }
}

function sendHeadOnly(exchange: Answerable, meta: number, lines: string, length: number): void {
  const { commands } = exchange.host
  if (commands.respondHead(exchange, meta, lines, length)) commands.respondEnd(exchange)
}

/** Content codings that `fetch` has undone in the body, but left in the header. */
const DECODED = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd'])

/** The fields of an answer that came over the network, without those that no longer fit its body. */
function decoded(headers: Iterable<[string, string]>): [string, string][] {
  const fields = [...headers]
  const coding = fields.find(([name]) => name.toLowerCase() === 'content-encoding')?.[1]
  if (coding === undefined || !coding.split(',').every((one) => DECODED.has(one.trim().toLowerCase()))) return fields
  return fields.filter(([name]) => !['content-encoding', 'content-length'].includes(name.toLowerCase()))
}
