import { inspect } from 'node:util'
import { sluiceTypeError } from '../errors.ts'
import type { ReconnectOptions, ReconnectSettings } from './client-backoff.ts'
import { invalidOption, OptionReader } from './client-option-reader.ts'

/** How the `data` of a binary `message` event is given: as in the standard, or as the `Buffer` that came, without a copy. */
export type BinaryType = 'blob' | 'arraybuffer' | 'nodebuffer'

/** How far the iterator of a client reads ahead of its consumer. */
export interface ReadAheadOptions {
  /** Messages that may wait. From 1 to 65 536. @default 256 */
  readonly messages?: number | undefined
  /** Bytes of messages that may wait. From 1 to 1 GiB. @default 1 MiB */
  readonly bytes?: number | undefined
}

/** Whom a client of a `wss:` URL trusts, and what it shows; as in Node's `tls.connect()`. */
export interface ClientTlsOptions {
  /** Authorities to trust instead of those that Node.js trusts, PEM. @default those of Node.js */
  readonly ca?: string | Uint8Array | undefined
  /** The client's own certificate, PEM. @default none */
  readonly cert?: string | Uint8Array | undefined
  /** Its private key, PEM. */
  readonly key?: string | Uint8Array | undefined
  /** The name to ask for and to expect, instead of the host of the URL. */
  readonly servername?: string | undefined
  /** `false` takes any certificate: whoever is between can read all. @default true */
  readonly rejectUnauthorized?: boolean | undefined
}

/** How a `WebSocketClient` connects and what it may hold. Durations are milliseconds, sizes bytes; a wrong one is an ERR_SLUICE_INVALID_OPTION. */
export interface WebSocketClientOptions {
  /** Subprotocols to offer, the preferred one first. @default none */
  readonly protocols?: string | readonly string[] | undefined
  /** More header fields for every handshake, such as `authorization` or `cookie`. Those of the handshake itself are refused. */
  readonly headers?: ConstructorParameters<typeof Headers>[0]
  /** For `wss:`. */
  readonly tls?: ClientTlsOptions | undefined
  /** Ends the client when it aborts: before `open` it gives up, after it closes with 1001. */
  readonly signal?: AbortSignal | undefined
  /** Whether to connect again when the connection is lost. `true` takes the defaults. @default false */
  readonly reconnect?: boolean | ReconnectOptions | undefined
  /** Kind of binary `message` events at first; the iterator always yields `Uint8Array`. @default 'blob' */
  readonly binaryType?: BinaryType | undefined
  /** Offers compression (RFC 7692) without context takeover: no memory is kept between messages, those below 1 KiB go as they are. @default false */
  readonly perMessageDeflate?: boolean | undefined
  /** Longest message to receive, decompressed; a longer one fails the connection with 1009. From 1 to 1 GiB. @default 16 MiB */
  readonly maxPayload?: number | undefined
  /** Time from the first look-up to `open`. From 1. @default 10 000 */
  readonly handshakeTimeout?: number | undefined
  /** How long the closing handshake may take before the socket is cut. From 1. @default 10 000 */
  readonly closeTimeout?: number | undefined
  /** `send()` returns -1 while more than this waits to be written. Up to 1 GiB. @default 1 MiB */
  readonly highWaterMark?: number | undefined
  /** Most bytes that may wait to be written; `send()` refuses what would pass it. From 1 to 1 GiB. @default 16 MiB */
  readonly sendBuffer?: number | undefined
  /** How much may wait for the iterator before the socket is read no further. */
  readonly readAhead?: ReadAheadOptions | undefined
}

/** The options with every default in place. */
export interface ClientSettings {
  /** Absolute, with one of the schemes of a WebSocket. */
  readonly url: URL
  readonly protocols: readonly string[]
  /** In lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly tls: ClientTlsOptions
  readonly signal: AbortSignal | undefined
  /** `null` for a client that ends with its first connection. */
  readonly reconnect: ReconnectSettings | null
  readonly binaryType: BinaryType
  readonly perMessageDeflate: boolean
  readonly maxPayload: number
  readonly handshakeTimeout: number
  readonly closeTimeout: number
  readonly highWaterMark: number
  readonly sendBuffer: number
  readonly readAhead: { readonly messages: number; readonly bytes: number }
}

const KIB = 1024
const MIB = 1024 * KIB
const sizeMax = 1024 * MIB
/** The longest delay of Node's timers. */
const millisMax = 2 ** 31 - 1

/** Replaces `http:` by `ws:` as the standard does; `ws+unix:/path/of.sock:/target` goes to a unix socket. */
const SCHEMES: ReadonlyMap<string, string> = new Map([['ws:', 'ws:'], ['wss:', 'wss:'], ['http:', 'ws:'], ['https:', 'wss:'], ['ws+unix:', 'ws+unix:']])
/** RFC 9110 5.6.2, token: what a subprotocol's name is made of. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Fields that the handshake sets itself; a second one would contradict it. */
const OWN_FIELDS = /^(?:connection|upgrade|host|content-length|transfer-encoding|sec-websocket-.*)$/

export const binaryTypes: readonly BinaryType[] = ['blob', 'arraybuffer', 'nodebuffer']

type KeyTable<T> = Readonly<Record<keyof T & string, true>>
const OPTIONS: KeyTable<WebSocketClientOptions> = {
  protocols: true, headers: true, tls: true, signal: true, reconnect: true, binaryType: true, perMessageDeflate: true, maxPayload: true,
  handshakeTimeout: true, closeTimeout: true, highWaterMark: true, sendBuffer: true, readAhead: true,
}
const TLS: KeyTable<ClientTlsOptions> = { ca: true, cert: true, key: true, servername: true, rejectUnauthorized: true }
const READ_AHEAD: KeyTable<ReadAheadOptions> = { messages: true, bytes: true }
const RECONNECT: KeyTable<ReconnectOptions> = { min: true, max: true, factor: true, jitter: true, retries: true }

/**
 * Parses what the constructor of a client was given.
 *
 * @throws TypeError ERR_SLUICE_INVALID_ARG for the URL or a subprotocol, ERR_SLUICE_INVALID_OPTION for the rest
 */
export function parseClientOptions(url: string | URL, given: string | readonly string[] | WebSocketClientOptions): ClientSettings {
  const options: unknown = typeof given === 'string' || Array.isArray(given) ? { protocols: given } : given
  if (typeof options !== 'object' || options === null) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The second argument must be a subprotocol, a list of them or an object of options, got ${inspect(options)}`)
  const read = new OptionReader(options, OPTIONS, '')
  const readAhead = new OptionReader(read.object('readAhead') ?? {}, READ_AHEAD, 'readAhead.')
  return {
    url: parseUrl(url),
    protocols: parseProtocols(read.strings('protocols')),
    headers: parseHeaders(read.value('headers')),
    tls: parseTls(new OptionReader(read.object('tls') ?? {}, TLS, 'tls.')),
    signal: read.signal('signal'),
    reconnect: parseReconnect(read),
    binaryType: read.choice('binaryType', binaryTypes, 'blob'),
    perMessageDeflate: read.flag('perMessageDeflate', false),
    maxPayload: read.whole('maxPayload', 'bytes', 1, sizeMax, 16 * MIB),
    handshakeTimeout: read.whole('handshakeTimeout', 'milliseconds', 1, millisMax, 10_000),
    closeTimeout: read.whole('closeTimeout', 'milliseconds', 1, millisMax, 10_000),
    highWaterMark: read.whole('highWaterMark', 'bytes', 0, sizeMax, MIB),
    sendBuffer: read.whole('sendBuffer', 'bytes', 1, sizeMax, 16 * MIB),
    readAhead: {
      messages: readAhead.whole('messages', 'messages', 1, 65_536, 256),
      bytes: readAhead.whole('bytes', 'bytes', 1, sizeMax, MIB),
    },
  }
}

/** Without the members that say nothing: `ws` hands the rest to `tls.connect()`, for which `undefined` is a value. */
function parseTls(read: OptionReader): ClientTlsOptions {
  const { ca, cert, key, servername } = { ca: read.bytes('ca'), cert: read.bytes('cert'), key: read.bytes('key'), servername: read.text('servername') }
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(servername !== undefined && { servername }),
    rejectUnauthorized: read.flag('rejectUnauthorized', true),
  }
}

function parseReconnect(options: OptionReader): ReconnectSettings | null {
  const given = options.value('reconnect')
  if (typeof given !== 'object' && !options.flag('reconnect', false, 'true, false or an object')) return null
  const read = new OptionReader(typeof given === 'object' ? (options.object('reconnect') ?? {}) : {}, RECONNECT, 'reconnect.')
  const min = read.whole('min', 'milliseconds', 1, millisMax, 500)
  const max = read.whole('max', 'milliseconds', 1, millisMax, Math.max(min, 30_000))
  if (min > max) throw invalidOption('reconnect.max', `at least \`min\`, ${min}`, max)
  return {
    min,
    max,
    factor: read.number('factor', 1, 100, 2),
    jitter: read.number('jitter', 0, 1, 0.5),
    retries: read.value('retries') === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : read.whole('retries', 'tries', 0, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY),
  }
}

function parseUrl(given: string | URL): URL {
  if (!URL.canParse(String(given))) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The URL must be absolute, got ${inspect(given)}`)
  const url = new URL(given)
  const scheme = SCHEMES.get(url.protocol)
  if (scheme === undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The URL must start with ${[...SCHEMES.keys()].join(', ')}, got "${url.protocol}"`)
  if (url.hash !== '' || url.href.endsWith('#')) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The URL must have no fragment, got "${url.hash || '#'}"`)
  if (scheme === 'ws+unix:' && url.pathname === '') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'The URL of a unix socket must have a path')
  // Assigning `protocol` does nothing between special and other schemes; all pairs here are of one kind.
  url.protocol = scheme
  return url
}

function parseProtocols(protocols: readonly string[]): readonly string[] {
  for (const [index, protocol] of protocols.entries()) {
    if (!TOKEN.test(protocol)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A subprotocol must be a token, got ${JSON.stringify(protocol)}`)
    if (protocols.indexOf(protocol) !== index) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Each subprotocol may be offered once, got ${JSON.stringify(protocol)} twice`)
  }
  return protocols
}

function parseHeaders(given: unknown): Readonly<Record<string, string>> {
  let headers: Headers
  try {
    headers = new Headers((given ?? {}) as ConstructorParameters<typeof Headers>[0])
  } catch (cause) {
    throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `headers must be what \`new Headers()\` takes: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  const own = [...headers.keys()].find((name) => OWN_FIELDS.test(name))
  if (own !== undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `headers must not have \`${own}\`, which the handshake sets`)
  return Object.fromEntries(headers)
}
