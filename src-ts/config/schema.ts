/**
 * The shape of a configuration: which keys exist, what each may hold, and its default.
 * A message says what the value must be; `explain.ts` puts the path before and the value behind it.
 */
import { isIP } from 'node:net'
import type { ResourceLimits } from 'node:worker_threads'
import { isIPv4, isIPv6 } from 'node:net'
import * as v from 'valibot'
import type { Dispatch, Limits, PortProtocol, RequestHook, ResolvedFraming } from '../options.ts'
import type { CronEntry } from '../cron/job.ts'
import { contentCodings } from '../http/content-coding.ts'
import type { LifecycleEvents, LifecycleHandler } from '../process/api.ts'
import { specFault, type TableSpec } from '../table/spec.ts'
import { allCpus, autoWorkers, reactorsMax, workersMax } from './parallelism.ts'

/** The longest delay a JavaScript timer can have, 24.8 days. */
const millisMax = 2 ** 31 - 1
const u32Max = 2 ** 32 - 1

/** What may be spoken on a port. */
export const portProtocols = ['http', 'websocket', 'tcp', 'udp'] as const satisfies PortProtocol[]

export const lifecycleEvents = [
  'serverStart',
  'listening',
  'beforeShutdown',
  'serverStop',
  'workerStart',
  'workerExit',
  'workerStop',
  'workerError',
  'beforeReload',
  'afterReload',
  'processStart',
  'processStop',
  'processError',
  'processOutput',
  'message',
  'error',
] as const satisfies (keyof LifecycleEvents)[]

type LifecycleEvent = (typeof lifecycleEvents)[number]

const text = v.pipe(v.string('must be a string'), v.nonEmpty('must not be empty'))
const flag = v.boolean('must be true or false')
const fn = <F>() => v.custom<F>((value) => typeof value === 'function', 'must be a function')
const only = <const T extends readonly string[]>(choices: T) =>
  v.picklist(choices, `must be ${choices.map((choice) => `"${choice}"`).join(' or ')}`)
const notAnObject = (message: string) => v.custom<never>(() => false, message)

/** An object with these keys and no other. */
function exactObject<const E extends v.ObjectEntries>(entries: E, message = 'must be an object') {
  const schema = v.strictObject(entries, message)
  // Lazy, as to valibot a list is an object too, and an empty one would pass.
  type Same = v.GenericSchema<v.InferInput<typeof schema>, v.InferOutput<typeof schema>>
  return v.lazy((value) => (Array.isArray(value) ? notAnObject(message) : schema) as unknown as Same)
}

const section = <const E extends v.ObjectEntries>(entries: E) => v.optional(exactObject(entries), {} as never)

/** A whole number of `what` from `min` to `max`. The upper bound is named only to those who pass it. */
function whole(what: string, min = 0, max: number = u32Max) {
  const message = `must be a whole number${what === '' ? '' : ` of ${what}`} ≥ ${min}`
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(min, message),
    v.maxValue(max, `must be a whole number${what === '' ? '' : ` of ${what}`} ≤ ${max}`),
  )
}
const bytes = (min = 0, max?: number) => whole('bytes', min, max)
const millis = (min = 0) => whole('milliseconds', min, millisMax)

const fields = (from: number, to: number, words: readonly string[] = []) =>
  [`must be a whole number from ${from} to ${to}`, ...words.map((word) => `"${word}"`)].join(' or ')

function countOr<const W extends string>(from: number, to: number, ...words: W[]) {
  const isRight = (value: unknown): boolean =>
    (Number.isInteger(value) && (value as number) >= from && (value as number) <= to) || words.includes(value as W)
  return v.custom<number | W>(isRight, fields(from, to, words))
}

const millisOrFalseRule = v.custom<number | false>(isMillisOrFalse, 'must be a whole number of milliseconds ≥ 1 or false')

function isMillisOrFalse(value: unknown): boolean {
  return value === false || (Number.isInteger(value) && (value as number) > 0 && (value as number) <= millisMax)
}

function millisOrFalse(defaultValue: number) {
  return v.pipe(
    v.optional(millisOrFalseRule, defaultValue || false),
    v.transform((value) => (value === false ? 0 : value)),
  )
}

/** The kernel counts in retransmissions, of which it has no more than 255. */
const hourOrFalse = v.custom<number | false>((value) => isMillisOrFalse(value) && value as number <= 3_600_000, 'must be a whole number of milliseconds from 1 to 3600000 or false')
const zeroForFalse = (value: number | false): number => (value === false ? 0 : value)

/** One value or a list of them, checked as what it is, so that a message names the element that is wrong. */
function oneOrMore<const S extends v.GenericSchema>(item: S) {
  const list = v.array(item)
  return v.pipe(
    v.lazy((value) => (Array.isArray(value) ? list : item) as v.GenericSchema<v.InferInput<S> | v.InferInput<S>[], v.InferOutput<S> | v.InferOutput<S>[]>),
    v.transform((value) => (Array.isArray(value) ? value : [value]) as v.InferOutput<S>[]),
  )
}

const listenForms = 'must be { port }, { path } or { fd }'
const account = '(?:[\\w][\\w.-]{0,31}\\$?|\\d{1,10})'
const ownerSchema = v.pipe(text, v.regex(new RegExp(`^(?:${account}(?::${account})?|:${account})$`), 'must be "user", "user:group" or ":group", by name or number'))
const accountSchema = v.union([v.pipe(text, v.regex(new RegExp(`^${account}$`), 'must be a name or a number')), whole('', 0)], 'must be a name or a number')
/** An address, a range of them, or whoever is on this machine. */
function isTrusted(value: unknown): value is string {
  if (typeof value !== 'string') return false
  const [address = '', prefix, ...more] = value.split('/')
  if (value === 'unix') return true
  if (isIP(address) === 0 || address.includes('%') || more.length > 0) return false
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (isIP(address) === 6 ? 128 : 32))
}
const proxyRules = {
  trust: v.optional(
    v.pipe(
      v.array(v.custom<string>(isTrusted, 'must be an IP address, a range such as "10.0.0.0/8" or "unix"'), 'must be a list of addresses'),
      v.maxLength(1024, 'must have at most 1024 addresses'),
    ),
  ),
  headers: v.optional(only(['x-forwarded', 'x-real', 'forwarded'])),
  protocol: v.optional(v.custom<'v1' | 'v2' | 'auto' | false>((value) => value === false || value === 'v1' || value === 'v2' || value === 'auto', 'must be "v1", "v2", "auto" or false')),
}

const pem = v.custom<string | Uint8Array>(
  (value) => (typeof value === 'string' || value instanceof Uint8Array) && value.length > 0,
  'must be a file, or PEM as text or bytes',
)
const identityRules = { cert: pem, key: pem }
const tlsRules = {
  ...identityRules,
  ca: v.optional(pem),
  requestCert: v.optional(flag),
  rejectUnauthorized: v.optional(flag),
  minVersion: v.optional(only(['TLSv1.2', 'TLSv1.3'])),
  alpn: v.optional(
    v.pipe(
      v.array(v.pipe(v.string('must be a protocol'), v.regex(/^[!-~]{1,255}$/, 'must be a protocol of 1 to 255 visible ASCII characters')), 'must be a list of protocols'),
      v.maxLength(16, 'must have at most 16 protocols'),
    ),
  ),
  sni: v.optional(
    v.pipe(
      v.record(v.string(), exactObject(identityRules, 'must be { cert, key }'), 'must be an object of { cert, key } by name'),
      v.maxEntries(1024, 'must have at most 1024 names'),
    ),
  ),
  watch: v.optional(flag),
}
const tlsSchema = exactObject(tlsRules, 'must be { cert, key }')
type TlsOptions = v.InferOutput<typeof tlsSchema>
/** `true` means those of the whole server. */
const ownTls = v.optional(
  v.lazy((value) => (typeof value === 'object' ? exactObject(tlsRules, 'must be true, false or { cert, key }') : v.boolean('must be true, false or { cert, key }')) as unknown as v.GenericSchema<boolean | TlsOptions>),
)

const tcpListenSchema = exactObject(
  {
    host: v.optional(v.pipe(text, v.regex(/^[!-~]{1,255}$/, 'must be a host name or an IP address')), '127.0.0.1'),
    port: v.custom<number>((value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535, 'must be a port number from 0 to 65535'),
    reusePort: v.optional(flag, false),
    ipv6Only: v.optional(flag, false),
    tls: ownTls,
  },
  listenForms,
)
const unixListenSchema = exactObject({ path: text, mode: v.optional(whole('', 0, 0o777)), owner: v.optional(ownerSchema), tls: ownTls }, listenForms)
const inheritedListenSchema = exactObject(
  {
    fd: v.custom<number | string>(
      (value) => (Number.isInteger(value) && (value as number) >= 3 && (value as number) <= 65_535) || (typeof value === 'string' && /^[^:]{1,255}$/.test(value)),
      'must be the number of an inherited descriptor from 3 to 65535, or its name in LISTEN_FDNAMES',
    ),
    tls: ownTls,
  },
  listenForms,
)

type AnyListen = v.InferOutput<typeof tcpListenSchema> | v.InferOutput<typeof unixListenSchema> | v.InferOutput<typeof inheritedListenSchema>
const listenSchema = v.lazy((value) => {
  const has = (key: string) => typeof value === 'object' && value !== null && key in value
  return (has('path') ? unixListenSchema : has('fd') ? inheritedListenSchema : tcpListenSchema) as unknown as v.GenericSchema<unknown, AnyListen>
})

const dispatchRules = ['least-requests', 'round-robin', 'idle', 'connection', 'least-connections', 'ip', 'uid'] as const
/** A token (RFC 9110, 5.6.2), a query parameter as it is sent, or the index of a path segment, 0 to 255. */
const dispatchKey =
  /^(?:(?:cookie|header):[\w!#$%&'*+.^`|~-]{1,256}|query:[!"$%'-<>-~]{1,256}|path:(?:\d{1,2}|1\d\d|2[0-4]\d|25[0-5]))$/

function isDispatch(value: unknown): value is Dispatch {
  if (typeof value === 'string') return (dispatchRules as readonly string[]).includes(value)
  if (typeof value !== 'object' || value === null || Object.keys(value).join() !== 'key') return false
  const { key } = value as { key: unknown }
  return typeof key === 'string' && dispatchKey.test(key)
}

const dispatchSchema = v.custom<Dispatch>(
  isDispatch,
  `must be ${dispatchRules.map((rule) => `"${rule}"`).join(', ')} or { key: "cookie:NAME" | "header:NAME" | "query:NAME" | "path:N" }`,
)

/** A record of the bridge names connections and exchanges in 24 bits. */
const handlesMax = 2 ** 24 - 1
const gib = 2 ** 30

/** What a browser may send as `Origin` (RFC 6454, 7.1), or `*` for all. */
function isOrigin(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > 512) return false
  if (value === '*' || value === 'null') return true
  if (!/^[a-z][a-z\d+.-]*:\/\/[\w.~%!$&'()*+,;=:[\]-]+$/i.test(value)) return false
  // With the port that its scheme has anyway, it would be equal to no browser's.
  return !/^https?:/i.test(value) || (URL.canParse(value) && new URL(value).origin === value.toLowerCase())
}

/** The water marks of a connection's send buffer; the core has the same rule. */
export function waterMarks(limits: { readonly sendBuffer: number; readonly highWaterMark?: number | undefined; readonly lowWaterMark?: number | undefined }): {
  highWaterMark: number
  lowWaterMark: number
} {
  const { sendBuffer, highWaterMark = Math.floor((sendBuffer * 4) / 5) } = limits
  const { lowWaterMark = Math.min(Math.floor(sendBuffer / 4), Math.floor(highWaterMark / 2)) } = limits
  return { highWaterMark, lowWaterMark }
}

// The ranges are those of `crates/sluice-core/src/config/check.rs`; a test compares them.
const limitRules = {
  headerBytes: bytes(1024, 65_536),
  headerFields: whole('', 1, 256),
  targetBytes: bytes(1, 65_535),
  bodyBytes: bytes(0, u32Max),
  headerTimeout: millis(1),
  bodyMinRate: bytes(0, gib),
  bodyGrace: millis(),
  keepAliveTimeout: millis(1),
  answerTimeout: millis(),
  sendTimeout: millis(1),
  connections: whole('', 1, handlesMax),
  concurrency: whole('', 1, handlesMax),
  workerConcurrency: whole('', 1, handlesMax),
  queueTimeout: millis(),
  pipeline: whole('', 1, 256),
  streams: whole('', 1, 65_535),
  controlFrames: whole('', 10, 1_000_000),
  streamResets: whole('', 1, 1_000_000),
  sendBuffer: bytes(1024, gib),
  highWaterMark: bytes(2, gib),
  lowWaterMark: bytes(1, gib),
  message: bytes(1, gib),
  openPerSecond: whole('', 0, 1_000_000),
  messagesPerSecond: whole('', 0, 1_000_000),
  allowOrigins: v.pipe(
    v.array(v.custom<string>(isOrigin, 'must be "*" or an origin as browsers send it, such as "https://example.com"'), 'must be a list of origins'),
    v.maxLength(256, 'must have at most 256 origins'),
  ),
} satisfies Record<keyof Limits, v.GenericSchema>

/** The marks have none: they are parts of `sendBuffer`. */
const limitDefaults = {
  headerBytes: 65_536,
  headerFields: 100,
  targetBytes: 16_384,
  bodyBytes: 4_194_304,
  headerTimeout: 10_000,
  bodyMinRate: 240,
  bodyGrace: 10_000,
  keepAliveTimeout: 75_000,
  answerTimeout: 60_000,
  sendTimeout: 30_000,
  connections: 100_000,
  concurrency: 100_000,
  workerConcurrency: 1024,
  queueTimeout: 10_000,
  pipeline: 32,
  streams: 128,
  controlFrames: 1000,
  streamResets: 200,
  sendBuffer: 1_048_576,
  message: 2_097_152,
  openPerSecond: 0,
  messagesPerSecond: 0,
  allowOrigins: [] as string[],
}

type LimitRules = typeof limitRules
type Defaults = typeof limitDefaults
/** With defaults, for the whole server. */
const limitsSchema = Object.fromEntries(
  Object.entries(limitRules).map(([name, rule]) => [name, v.optional(rule as v.GenericSchema, (limitDefaults as Record<string, unknown>)[name])]),
) as unknown as { [K in keyof LimitRules]: K extends keyof Defaults ? v.OptionalSchema<LimitRules[K], Defaults[K]> : v.OptionalSchema<LimitRules[K], undefined> }
/** Without, for a port: what it does not say is the server's. */
const portLimitsSchema = Object.fromEntries(Object.entries(limitRules).map(([name, rule]) => [name, v.optional(rule as v.GenericSchema)])) as unknown as {
  [K in keyof LimitRules]: v.OptionalSchema<LimitRules[K], undefined>
}

/** A connection whose queue could never fall to the low mark would never drain. */
const limits = v.pipe(
  section(limitsSchema),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const wrong = wrongMark(dataset.value)
    if (wrong === undefined) return
    const path: v.ObjectPathItem = { type: 'object', origin: 'value', input: dataset.value as Record<string, unknown>, key: 'lowWaterMark', value: wrong.value }
    addIssue({ message: wrong.message, input: wrong.value, path: [path] })
  }),
)

/** The low mark and what it must be, if it is not. */
export function wrongMark(limits: Parameters<typeof waterMarks>[0]): { readonly value: number; readonly message: string } | undefined {
  const { highWaterMark, lowWaterMark } = waterMarks(limits)
  return lowWaterMark < highWaterMark ? undefined : { value: lowWaterMark, message: `must be less than highWaterMark (${highWaterMark})` }
}

const megabytes = () => v.optional(v.pipe(v.number('must be a number of MiB > 0'), v.gtValue(0, 'must be a number of MiB > 0')))

/** Off is 0 from here on; what a port does not say is the server's. */
const ownMillisOrFalse = () =>
  v.pipe(
    v.optional(millisOrFalseRule),
    v.transform((value) => (value === false ? 0 : value)),
  )

// The names and ranges are those of `crates/sluice-core/src/framing/config.rs`.
const framingNames = ['raw', 'lines', 'mqtt', 'varint', 'netstring'] as const
const lengthTypes = ['u8', 'u16be', 'u16le', 'u32be', 'u32le', 'u64be', 'u64le', 'i16be', 'i32be'] as const
const framingMessage = `must be ${framingNames.map((name) => `"${name}"`).join(', ')}, { eof } or { length }`

function isMark(value: unknown): boolean {
  const length = typeof value === 'string' ? Buffer.byteLength(value) : value instanceof Uint8Array ? value.length : 0
  return length >= 1 && length <= 8
}

const eofSchema = exactObject(
  {
    eof: v.pipe(
      v.custom<string | Uint8Array>(isMark, 'must be 1 to 8 bytes or as long a string'),
      v.transform((mark) => [...Buffer.from(mark as Uint8Array)]),
    ),
    split: v.optional(flag, true),
    keep: v.optional(flag, true),
  },
  framingMessage,
)
const lengthSchema = exactObject(
  { length: only(lengthTypes), offset: v.optional(bytes(0, 4096), 0), bodyOffset: v.optional(bytes(0, 4096)), strip: v.optional(flag, false) },
  framingMessage,
)
const framingSchema = v.lazy((value) => {
  const isObject = typeof value === 'object' && value !== null
  const schema = isObject && 'eof' in value ? eofSchema : isObject && 'length' in value && !Array.isArray(value) ? lengthSchema : v.picklist(framingNames, framingMessage)
  return schema as unknown as v.GenericSchema<unknown, ResolvedFraming>
})

/** Descriptors and abstract names are for connections. */
const packetListenSchema = v.pipe(
  listenSchema,
  v.check((listen) => !('fd' in listen) && !('path' in listen && listen.path.startsWith('\0')), 'must be { port } or { path } of a file on a UDP port'),
)

/** A port of `ports` with packets. */
const udpPortSchema = exactObject(
  {
    protocol: v.literal('udp'),
    listen: packetListenSchema,
    dispatch: v.optional(only(['round-robin', 'idle', 'ip']), 'round-robin'),
    multicast: v.pipe(
      v.optional(v.array(v.custom<string>(isGroup, 'must be a multicast address, or one with %interface'), 'must be a list of multicast addresses'), []),
      v.maxLength(64, 'must have at most 64 groups'),
    ),
    broadcast: v.optional(flag, false),
    queue: v.optional(bytes(65_536, gib), 4_194_304),
    receiveBuffer: v.optional(bytes(0, gib), 0),
    sendBuffer: v.optional(bytes(0, gib), 0),
    optional: v.optional(flag, false),
  },
  'must be { protocol, listen }',
)

function isGroup(value: unknown): boolean {
  if (typeof value !== 'string') return false
  const [address = ''] = value.split('%')
  return isIPv4(address) ? /^2(?:2[4-9]|3\d)\./.test(address) : isIPv6(address) && /^ff/i.test(address)
}

/** A port of `ports` with connections. */
const connectionPortSchema = exactObject(
  {
    protocol: only(portProtocols),
    listen: listenSchema,
    limits: section(portLimitsSchema),
    heartbeat: section({ ping: ownMillisOrFalse(), pongTimeout: v.optional(millis(1)), idle: ownMillisOrFalse() }),
    dispatch: v.optional(dispatchSchema),
    http2: v.optional(flag),
    tcp: section({
      nodelay: v.optional(flag),
      keepAlive: ownMillisOrFalse(),
      backlog: v.optional(whole('', 1, 65_535)),
      fastOpen: v.optional(flag),
      userTimeout: ownMillisOrFalse(),
      deferAccept: v.optional(v.pipe(hourOrFalse, v.transform(zeroForFalse))),
    }),
    framing: v.optional(framingSchema),
    maxMessage: v.optional(limitRules.message),
    optional: v.optional(flag, false),
    proxy: section(proxyRules),
    tls: ownTls,
  },
  'must be { protocol, listen }',
)

/** A port of `ports`. */
export const portSchema = v.lazy(
  (value) =>
    (typeof value === 'object' && value !== null && 'protocol' in value && value.protocol === 'udp' ? udpPortSchema : connectionPortSchema) as unknown as v.GenericSchema<
      unknown,
      v.InferOutput<typeof udpPortSchema> | (v.InferOutput<typeof connectionPortSchema> & { protocol: Exclude<PortProtocol, 'udp'> })
    >,
)

const portNames = v.pipe(
  v.string(),
  v.regex(/^[\w.-]{1,64}$/, 'must have a name of 1 to 64 letters, digits and . _ -'),
  v.check((name) => !/^main\d*$/.test(name), 'must have another name: `main`, `main2`, … are the addresses of `listen`'),
)

/** A media type, or a pattern for several; the core has the same rule. */
const mediaType = /^(?:[a-z\d!#$&^_.+-]+\/(?:\*|[a-z\d!#$&^_.+-]+)|\*\+[a-z\d!#$&^_.+-]+)$/
const compressionSchema = exactObject(
  {
    encodings: v.pipe(
      v.optional(v.array(v.picklist(contentCodings, 'must be "br", "zstd" or "gzip"'), 'must be a list of codings'), [...contentCodings]),
      v.minLength(1, 'must have at least one coding'),
    ),
    minBytes: v.optional(bytes(0, gib), 1024),
    level: v.optional(whole('', 1, 9)),
    types: v.pipe(
      v.optional(
        v.array(v.pipe(v.string('must be a media type'), v.toLowerCase(), v.maxLength(128, 'must be a media type'), v.regex(mediaType, 'must be a media type, "type/*" or "*+suffix"')), 'must be a list of media types'),
        ['text/*', '*+json', '*+xml', 'application/json', 'application/javascript', 'application/xml', 'application/wasm'],
      ),
      v.maxLength(256, 'must have at most 256 media types'),
    ),
  },
  'must be true, false or { encodings, minBytes, level, types }',
)

// The rules are those of `crates/sluice-core/src/config/static_files.rs`, which also tries the patterns.
const staticSchema = exactObject(
  {
    root: text,
    prefix: v.optional(
      v.custom<string>(
        (value) => typeof value === 'string' && value.length <= 1024 && /^(?:\/[^/\0\\?]+)*\/?$/.test(value) && value !== '' && !/\/\.\.?(?:\/|$)/.test(value),
        'must be a path such as "/assets"',
      ),
      '/',
    ),
    index: v.pipe(
      v.optional(
        v.array(v.pipe(v.string('must be the name of a file'), v.regex(/^(?!\.\.?$)[^/\0]{1,255}$/, 'must be the name of a file')), 'must be a list of file names'),
        ['index.html'],
      ),
      v.maxLength(16, 'must have at most 16 names'),
    ),
    autoindex: v.optional(flag, false),
    dotfiles: v.optional(only(['deny', 'ignore', 'allow']), 'deny'),
    cacheControl: v.optional(v.pipe(text, v.regex(/^[!-~](?:[ -~]{0,254}[!-~])?$/, 'must be 1 to 256 characters of printable ASCII without blanks around them'))),
    etag: v.optional(flag, true),
    precompressed: v.optional(flag, false),
    fallthrough: v.optional(flag, true),
    rewrite: v.pipe(
      v.optional(
        v.record(
          v.pipe(v.string(), v.maxLength(1024, 'must have patterns of at most 1024 characters')),
          v.pipe(v.string('must be a path'), v.regex(/^[/$]/, 'must be a path'), v.maxLength(1024, 'must be at most 1024 characters long')),
          'must be an object of paths by pattern',
        ),
        {},
      ),
      v.check((rules) => Object.keys(rules).length <= 64, 'must have at most 64 patterns'),
    ),
  },
  'must be { root }',
)

type LifecycleSchema = { [K in LifecycleEvent]: v.GenericSchema<LifecycleHandler<K>[] | undefined, LifecycleHandler<K>[]> }
const lifecycleSchema = Object.fromEntries(
  lifecycleEvents.map((event) => [event, v.optional(oneOrMore(fn<() => void>()), [])]),
) as unknown as LifecycleSchema

/** A table as `src-ts/table/spec.ts` has it; the member that is wrong is named. */
const tableSchema = v.pipe(
  v.custom<TableSpec>(() => true),
  v.rawCheck(({ dataset, addIssue }) => {
    const fault = specFault(dataset.value)
    if (fault === undefined) return
    let input: unknown = dataset.value
    const path = fault.path.map((key): v.ObjectPathItem => {
      const at = input as Record<string, unknown>
      input = at[key]
      return { type: 'object', origin: 'value', input: at, key, value: input }
    })
    addIssue({ message: fault.message, input: fault.value, ...(path.length > 0 && { path: path as [v.ObjectPathItem] }) })
  }),
)
const tableNames = v.pipe(v.string(), v.regex(/^[\w-][\w.-]{0,63}$/, 'must have a name of 1 to 64 letters, digits and . _ -, not beginning with a dot'))
const tablesMessage = 'must be an object of tables by name'
const tablesRecord = v.record(tableNames, tableSchema, tablesMessage)
// To valibot a list is an object too.
const tablesSchema = v.lazy((value) => (Array.isArray(value) ? notAnObject(tablesMessage) : tablesRecord) as unknown as v.GenericSchema<Record<string, TableSpec>>)

// The ranges are those of `crates/sluice-core/src/config/check.rs`.
const queueSchema = exactObject(
  {
    workers: v.optional(whole('', 0, workersMax), 0),
    concurrency: v.optional(whole('', 0, u32Max), 0),
    rate: v.optional(exactObject({ limit: whole('', 1, 1_000_000), per: millis(1) }, 'must be { limit, per }')),
  },
  'must be { workers, concurrency, rate }',
)
const queueNames = v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/, 'must have a name of 1 to 64 letters, digits and . _ -'))
const queuesMessage = 'must be an object of queues by name'
const queuesRecord = v.record(queueNames, queueSchema, queuesMessage)

/** How tasks are run; a test of the page about it, too. */
export const tasksSchema = exactObject({
  workers: v.optional(whole('', 0, workersMax), 1),
  concurrency: v.optional(whole('', 1, 256), 16),
  files: v.pipe(v.optional(oneOrMore(text), []), v.maxLength(1024, 'must have at most 1024 files')),
  maxTasks: v.optional(whole(''), 0),
  queues: v.pipe(
    // To valibot a list is an object too.
    v.optional(v.lazy((value) => (Array.isArray(value) ? notAnObject(queuesMessage) : queuesRecord) as unknown as v.GenericSchema<v.InferInput<typeof queuesRecord>, v.InferOutput<typeof queuesRecord>>), {}),
    v.check((queues) => Object.keys(queues).length <= 255, 'must have at most 255 queues'),
    v.check((queues) => (queues['default']?.workers ?? 0) === 0, 'must not give workers to "default": those are `tasks.workers`'),
  ),
  keepFailed: v.optional(whole('', 0, 1_000_000), 1000),
  max: v.optional(whole('', 1, 16_777_216), 100_000),
  bytes: v.optional(bytes(65_536, u32Max), 67_108_864),
  durable: v.optional(v.union([v.literal(false), exactObject({ path: text, fsync: v.optional(only(['always', 'interval']), 'always') }, 'must be false or { path, fsync }')], 'must be false or { path, fsync }'), false),
})

const queueRules = section({ capacity: v.optional(whole('', 1, 1_000_000), 8192), mode: v.optional(only(['balance', 'orient']), 'balance') })
const processQueue = v.pipe(
  v.lazy((value) => (value === true ? v.literal(true) : queueRules) as unknown as v.GenericSchema<true | v.InferInput<typeof queueRules>, true | v.InferOutput<typeof queueRules>>),
  v.transform((value) => (value === true ? v.parse(queueRules, undefined) : value)),
)
const processRules = {
  instances: v.optional(whole('', 1, 64), 1),
  enable: v.optional(flag, true),
  restartInterval: v.optional(millis(), 5000),
  maxRestarts: v.optional(whole('')),
  queue: v.optional(processQueue, {}),
}
const modulePath = v.custom<string | URL>((value) => (typeof value === 'string' && value !== '') || (value instanceof URL && value.protocol === 'file:'), 'must be a path or a file: URL')
const moduleProcessSchema = v.pipe(
  exactObject(
    {
      kind: v.optional(only(['thread', 'process', 'command']), 'thread'),
      pipe: v.optional(only(['none', 'stream', 'datagram']), 'datagram'),
      stuckAfter: v.optional(millisOrFalseRule),
      file: v.optional(modulePath),
      run: v.optional(fn<(ctx: never) => unknown>()),
      onReload: v.optional(fn<(ctx: never) => unknown>()),
      onStop: v.optional(fn<(ctx: never) => unknown>()),
      ...processRules,
    },
    'must be { file }, { run } or { command }',
  ),
  v.check(({ file, kind, run }) => kind !== 'command' && (file === undefined) !== (run === undefined), 'must have one of file, run and command'),
)
const commandProcessSchema = exactObject(
  {
    kind: v.optional(only(['command']), 'command'),
    command: v.pipe(v.array(v.string('must be a string'), 'must be a list of the program and its arguments'), v.minLength(1, 'must name a program'), v.check(([program]) => program !== '', 'must name a program'), v.maxLength(1024, 'must have at most 1024 arguments')),
    pipe: v.optional(only(['none', 'stream']), 'stream'),
    redirect: v.optional(flag, false),
    ...processRules,
  },
  'must be { file }, { run } or { command }',
)
const processNames = v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/, 'must have a name of 1 to 64 letters, digits and . _ -'))
const processesMessage = 'must be an object of processes by name'
const processesRecord = v.record(
  processNames,
  v.lazy((value) => (typeof value === 'object' && value !== null && 'command' in value ? commandProcessSchema : moduleProcessSchema) as unknown as v.GenericSchema<unknown, v.InferOutput<typeof commandProcessSchema> | v.InferOutput<typeof moduleProcessSchema>>),
  processesMessage,
)
// To valibot a list is an object too.
const processesSchema = v.lazy((value) => (Array.isArray(value) ? notAnObject(processesMessage) : processesRecord) as unknown as v.GenericSchema<v.InferInput<typeof processesRecord>, v.InferOutput<typeof processesRecord>>)

/** What is in it the cron worker reads, the only one to run it. */
const isCronEntry = (value: unknown): boolean => typeof value === 'function' || (typeof value === 'object' && value !== null)

const cronSchema = exactObject({
  jobs: v.optional(v.array(v.custom<CronEntry>(isCronEntry, 'must be what defineCron() gives, a class that extends CronJob, or [class, [interval, isImmediate]]'), 'must be a list of jobs'), []),
  files: v.pipe(v.optional(oneOrMore(text), []), v.maxLength(1024, 'must have at most 1024 files')),
  maxWaitTime: v.optional(millis()),
})

export const configSchema = exactObject(
  {
    name: v.optional(v.pipe(text, v.regex(/^[\w.@+-]{1,64}$/, 'must be 1 to 64 letters, digits and . _ @ + -'))),
    root: v.optional(text),
    app: v.optional(
      v.custom<string | URL>(
        (value) => (typeof value === 'string' && value !== '') || (value instanceof URL && value.protocol === 'file:'),
        'must be a path or a file: URL',
      ),
    ),
    listen: v.pipe(
      v.optional(oneOrMore(listenSchema), { host: '127.0.0.1', port: 5200 }),
      v.maxLength(64, 'must have at most 64 addresses'),
    ),
    ports: v.optional(v.record(portNames, portSchema, 'must be an object of ports by name'), {}),
    workers: v.pipe(
      v.optional(countOr(1, workersMax, 'auto', 'max'), 'auto'),
      v.transform((value) => (value === 'auto' ? autoWorkers() : value === 'max' ? allCpus() : value)),
    ),
    core: section({
      threads: v.optional(countOr(1, reactorsMax, 'auto'), 'auto'),
      affinity: v.optional(v.array(whole('', 0, 1023), 'must be a list of CPU numbers'), []),
    }),
    dispatch: v.optional(dispatchSchema, 'least-requests'),
    http2: v.optional(flag, true),
    maxWaitTime: v.optional(millis(), 30_000),
    requestTimeout: section({ soft: v.optional(millis(), 0), hard: v.optional(millis()) }),
    stuckAfter: millisOrFalse(10_000),
    onWorkerCrash: section({
      replay: v.optional(only(['idempotent', 'none']), 'idempotent'),
      maxBody: v.optional(bytes(0, gib), 65_536),
      status: v.optional(v.custom<number>((value) => Number.isInteger(value) && (value as number) >= 500 && (value as number) <= 599, fields(500, 599)), 503),
    }),
    recycle: section({
      requests: v.optional(whole(''), 0),
      grace: v.optional(whole('')),
      heapMb: v.optional(whole('MiB'), 0),
      age: v.optional(millis(), 0),
    }),
    reload: section({
      concurrency: v.optional(whole('', 1, workersMax), 1),
      startTimeout: v.optional(millis(1), 30_000),
      rollback: v.optional(
        v.lazy((value) =>
          (value === false
            ? v.literal(false)
            : exactObject({ errors: whole('', 1), within: millis(1) }, 'must be { errors, within } or false')) as unknown as v.GenericSchema<unknown, { errors: number; within: number } | false>,
        ),
        { errors: 3, within: 10_000 },
      ),
      drainGrace: v.optional(millis(), 0),
    }),
    resourceLimits: section({
      maxOldGenerationSizeMb: megabytes(),
      maxYoungGenerationSizeMb: megabytes(),
      codeRangeSizeMb: megabytes(),
      stackSizeMb: megabytes(),
    } satisfies Record<keyof ResourceLimits, v.GenericSchema>),
    limits,
    heartbeat: section({
      ping: millisOrFalse(25_000),
      pongTimeout: v.optional(millis(1), 20_000),
      idle: millisOrFalse(0),
    }),
    topics: section({
      history: section({
        messages: v.optional(whole('', 0, 65_536), 128),
        bytes: v.optional(bytes(0, gib), 262_144),
        age: v.optional(millis(), 300_000),
      }),
      historyBytes: v.optional(bytes(0, u32Max), 67_108_864),
    }),
    timers: section({ max: v.optional(whole('', 0, 16_777_216), 1_000_000), bytes: v.optional(bytes(0, u32Max), 268_435_456) }),
    tasks: v.optional(tasksSchema),
    cron: v.optional(cronSchema),
    tcp: section({
      nodelay: v.optional(flag, true),
      keepAlive: millisOrFalse(0),
      backlog: v.optional(whole('', 1, 65_535), 1024),
      fastOpen: v.optional(flag, false),
      userTimeout: millisOrFalse(0),
      deferAccept: v.pipe(v.optional(hourOrFalse, false), v.transform(zeroForFalse)),
    }),
    proxy: section(proxyRules),
    tls: v.optional(tlsSchema),
    compression: v.pipe(
      v.optional(
        v.lazy((value) => (typeof value === 'boolean' ? flag : compressionSchema) as unknown as v.GenericSchema<boolean | v.InferInput<typeof compressionSchema>, boolean | v.InferOutput<typeof compressionSchema>>),
        false,
      ),
      v.transform((value) => (value === true ? v.parse(compressionSchema, {}) : value)),
    ),
    static: v.pipe(v.optional(oneOrMore(staticSchema), []), v.maxLength(64, 'must have at most 64 entries')),
    decompression: v.optional(flag, false),
    uploads: section({
      dir: v.optional(text),
      maxBytes: v.optional(bytes(0, Number.MAX_SAFE_INTEGER), 67_108_864),
      fileBytes: v.optional(bytes(1, Number.MAX_SAFE_INTEGER)),
      spoolAbove: v.optional(bytes(0, gib), 0),
      fields: v.optional(whole('', 0, 65_536), 1000),
      files: v.optional(whole('', 0, 65_536), 20),
      fieldBytes: v.optional(bytes(0, gib), 1_048_576),
    }),
    tables: v.pipe(
      v.optional(tablesSchema, {}),
      v.check((tables) => Object.keys(tables).length <= 1024, 'must have at most 1024 tables'),
    ),
    processes: v.pipe(
      v.optional(processesSchema, {}),
      v.check((processes) => Object.keys(processes).length <= 64, 'must have at most 64 processes'),
    ),
    serverHeader: v.optional(
      v.custom<string | false>(
        (value) => value === false || (typeof value === 'string' && /^[!-~](?:[ -~]{0,254}[!-~])?$/.test(value)),
        'must be false or 1 to 256 characters of printable ASCII without blanks around them',
      ),
      false,
    ),
    lifecycle: section(lifecycleSchema),
    hooks: section({ requestReceived: v.optional(fn<RequestHook>()), responseGenerated: v.optional(fn<RequestHook>()) }),
    cleaners: v.optional(v.array(fn<RequestHook>(), 'must be a list of functions'), []),
    env: v.optional(v.pipe(text, v.regex(/^[\w-][\w.-]*$/, 'must be letters, digits and . _ -'))),
    version: v.optional(v.pipe(text, v.regex(/^[\x21-\x7e]{1,128}$/, 'must be 1 to 128 visible ASCII characters without spaces'))),
    stateDir: v.optional(v.custom<string | false>((value) => value === false || (typeof value === 'string' && value !== ''), 'must be a path or false'), '.sluice'),
    daemon: v.optional(flag, false),
    user: v.optional(accountSchema),
    group: v.optional(accountSchema),
    log: section({
      level: v.optional(only(['trace', 'debug', 'info', 'warn', 'error']), 'info'),
      file: v.optional(text),
      format: v.optional(only(['pretty', 'json']), 'pretty'),
    }),
  },
)
