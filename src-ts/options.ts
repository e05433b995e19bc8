/**
 * The configuration of a server: what a user may write ({@link Config}), and what the rest of the code reads
 * ({@link ResolvedConfig}), in which every option has a value that is known to be right.
 *
 * Durations are milliseconds, sizes bytes, unless a name says otherwise. `docs/reference/configuration.md` lists them all.
 */
import { tmpdir } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { ResourceLimits } from 'node:worker_threads'
import * as v from 'valibot'
import { explain } from './config/explain.ts'
import { autoReactors } from './config/parallelism.ts'
import { resolvePorts } from './config/ports.ts'
import type { CronEntry } from './cron/job.ts'
import { configSchema, tasksSchema } from './config/schema.ts'
import type { PemSource } from './config/tls.ts'
import type { ContentCoding } from './http/content-coding.ts'
import type { TableSpec } from './table/spec.ts'
import type { LifecycleEvents, LifecycleHandler } from './process/api.ts'
import type { ProcessSpec, ResolvedProcess } from './process/custom/spec.ts'

export { toNativeConfig } from './config/native-config.ts'

/** What `sluice.config.*` and `createServer()` take. Everything but `app` has a default. */
export interface Config {
  /** The process's name, so that `kill -USR1 $(pidof NAME)` works: 1 to 64 letters, digits and `. _ @ + -`. @default `<directory> sluice: master` */
  name?: string | undefined
  /**
   * Directory that `app` and relative paths start from; resolved again at every reload, so that a symbolic link to the current
   * release works. @default the directory of the configuration file, else the working directory
   */
  root?: string | undefined
  /** The module every worker imports: its default export is the app. A path from `root`, or a `file:` URL. */
  app?: string | URL | undefined
  /** Where the app's HTTP is served: the ports `main`, `main2`, … May be empty when there are `ports`. @default `{ host: '127.0.0.1', port: 5200 }` */
  listen?: Listen | readonly Listen[] | undefined
  /** Further ports by name, each with its own protocol and, in `App.ports`, its own handlers. With those of `listen` at most 64. */
  ports?: Readonly<Record<string, PortSpec>> | undefined
  /** Worker threads, 1 to 120. `'auto'`: the CPUs the process may use, bounded by the container's quota; `'max'`: without the quota. @default 'auto' */
  workers?: number | 'auto' | 'max' | undefined
  core?:
    | {
        /** Reactor threads, which own the sockets: 1 to 64. @default 'auto', as many as workers, at most one per CPU */
        threads?: number | 'auto' | undefined
        /** CPUs to pin the reactors to, reactor i to `affinity[i % length]`. @default [] the system places them */
        affinity?: readonly number[] | undefined
      }
    | undefined
  /** How a worker is chosen for a request. @default 'least-requests' */
  dispatch?: Dispatch | undefined
  /** How long a worker that has to go may finish what it has in hand. @default 30_000 */
  maxWaitTime?: number | undefined
  requestTimeout?:
    | {
        /** After this the request's `signal` aborts; the handler may still answer. @default 0 off */
        soft?: number | undefined
        /** After this without a started answer the client gets a 504. 0 = off. Another name for `limits.answerTimeout`, and the one that wins. @default 60_000 */
        hard?: number | undefined
      }
    | undefined
  /** A worker with work waiting that does not move for this long is replaced, and a custom process without a `stuckAfter` of its own; false = off. @default 10_000 */
  stuckAfter?: number | false | undefined
  /** What happens to the requests in the hands of a worker that dies. */
  onWorkerCrash?:
    | {
        /** `'idempotent'`: safe methods without a started answer go to another worker, once. @default 'idempotent' */
        replay?: 'idempotent' | 'none' | undefined
        /** Requests with a larger body are not replayed. @default 65_536 */
        maxBody?: number | undefined
        /** The status of those that are not replayed, 500 to 599. @default 503 */
        status?: number | undefined
      }
    | undefined
  /** Replaces a worker before it grows old. 0 = off. */
  recycle?:
    | {
        /** After this many requests. @default 0 */
        requests?: number | undefined
        /** Plus up to this many at random, so that workers do not go together. @default half of `requests`, none up to 10 */
        grace?: number | undefined
        /** When its heap is larger, in MiB. @default 0 */
        heapMb?: number | undefined
        /** After this long. @default 0 */
        age?: number | undefined
      }
    | undefined
  reload?:
    | {
        /** Workers replaced at once. @default 1 */
        concurrency?: number | undefined
        /** How long a new worker may take to become ready, at start too. @default 30_000 */
        startTimeout?: number | undefined
        /** So many crashes so soon after a reload bring the previous code back; false = off. @default { errors: 3, within: 10_000 } */
        rollback?: { errors: number; within: number } | false | undefined
        /** How long an old worker goes on undisturbed before its `server.signal` aborts. @default 0 */
        drainGrace?: number | undefined
      }
    | undefined
  /** Bounds of each worker's V8, as `resourceLimits` of `node:worker_threads`. A worker that passes them dies alone. */
  resourceLimits?: { [K in keyof ResourceLimits]: number | undefined } | undefined
  limits?: { [K in keyof Limits]?: Readonly<Limits[K]> | undefined } | undefined
  /** How it is noticed that the peer of a WebSocket or an event stream is gone. The core pings, workers are not asked. */
  heartbeat?: Heartbeat | undefined
  /** What is kept of what is published, for event streams that come back with a `Last-Event-ID`. */
  topics?:
    | {
        /** Of one topic. What is too much or too old is dropped, the oldest first; a replay says that it is incomplete. */
        history?:
          | {
              /** Messages, up to 65 536; 0 = no history. @default 128 */
              messages?: number | undefined
              /** Their bytes, up to 1 GiB. @default 262_144 */
              bytes?: number | undefined
              /** How long they are kept, and the history itself after its last subscriber has left; 0 = no history. @default 300_000 */
              age?: number | undefined
            }
          | undefined
        /** Bytes of all topics, up to 4 GiB - 1. @default 67_108_864 */
        historyBytes?: number | undefined
      }
    | undefined
  /** Shared timers: `server.timer`. */
  timers?:
    | {
        /** How many there may be at once, up to 16 777 216; each takes about 100 bytes and its input. @default 1_000_000 */
        max?: number | undefined
        /** Bytes of their names and inputs, up to 4 GiB - 1. @default 268_435_456 */
        bytes?: number | undefined
      }
    | undefined
  /** Custom processes by name, up to 64: threads, Node.js processes or programs that the server keeps running, `docs/reference/processes.md`. @default {} */
  processes?: Readonly<Record<string, ProcessSpec>> | undefined
  /** Tasks and events, `docs/reference/tasks.md`. Without it they run in the ordinary workers. */
  tasks?: TasksConfig | undefined
  /** Cron jobs, `docs/reference/cron.md`. With it there is a cron worker, a thread that runs nothing but them. */
  cron?: CronConfig | undefined
  /** Speak HTTP/2 as well as HTTP/1.1: in plain text with clients that know of it, over TLS by ALPN. @default true */
  http2?: boolean | undefined
  /** Socket options. */
  tcp?: TcpOptions | undefined
  /** Proxies and balancers in front of the server. */
  proxy?: Proxy | undefined
  /** Encrypts the addresses of `listen`, but for those with a `tls` of their own. @default none */
  tls?: Tls | undefined
  /**
   * Compresses answers for clients that accept it, streamed ones too. Beware of pages that show a secret next to what a visitor sent
   * (the BREACH attack). @default false
   */
  compression?: boolean | Compression | undefined
  /** Files that the core sends by itself, before the app and on all HTTP ports. Several are asked in order; up to 64. @default [] */
  static?: StaticOptions | readonly StaticOptions[] | undefined
  /**
   * Undoes the coding (`content-encoding`: gzip, deflate, br or zstd) of request bodies before they are read. `limits.bodyBytes` binds what comes
   * out. @default false
   */
  decompression?: boolean | undefined
  /** Forms with files, as `ctx.form()` reads them. */
  uploads?: Uploads | undefined
  /** Tables in shared memory by name, made when the server starts: `server.tables.NAME` in every thread. Up to 1024. @default {} */
  tables?: Readonly<Record<string, TableSpec>> | undefined
  /** The value of the `Server` header. @default false none is sent */
  serverHeader?: string | false | undefined
  /** Called at the stages of the server's and its workers' lives, in order and awaited. */
  lifecycle?: { [K in keyof LifecycleEvents]?: LifecycleHandler<K> | readonly LifecycleHandler<K>[] | undefined } | undefined
  /** Called before and after the app's `fetch`. */
  hooks?: { requestReceived?: RequestHook | undefined; responseGenerated?: RequestHook | undefined } | undefined
  /** Called after each answer was sent, with the request's context. */
  cleaners?: readonly RequestHook[] | undefined
  /** Name of the environment, as with `-e`. */
  env?: string | undefined
  /** Version of your code, as with `-x`: `server.version`, `ctx.version`, `process.env.X_VERSION`. */
  version?: string | undefined
  /** Directory of pid file and control socket, and of tables that other processes can attach; false = none of them. @default `.sluice` in the configuration file's directory */
  stateDir?: string | false | undefined
  /** Run in the background, as with `-d`. @default false */
  daemon?: boolean | undefined
  /** Name or number of the user that the server goes on as when its ports are bound. Needs root. @default who started it */
  user?: string | number | undefined
  /** Name or number of its group. @default the group of `user` */
  group?: string | number | undefined
  log?:
    | {
        /** The least severe level that is written. @default 'info' */
        level?: LogLevel | undefined
        /** Appended to, instead of standard output and error; opened again on SIGHUP. */
        file?: string | undefined
        /** `'json'`: one object per line, in pino's shape. @default 'pretty' */
        format?: 'pretty' | 'json' | undefined
      }
    | undefined
}

/** How it is noticed that a peer is gone. */
export interface Heartbeat {
  /** A ping (to an event stream: a comment) after so long without anything received (sent); false = none. @default 25_000 */
  ping?: number | false | undefined
  /** A WebSocket from which nothing comes for so long after a ping is cut off. @default 20_000 */
  pongTimeout?: number | undefined
  /** A WebSocket or TCP connection without a message for so long is closed, with 1001; pongs are no messages. @default false */
  idle?: number | false | undefined
}

/** Options of listening and accepted TCP sockets. One that the system does not have is left out. */
export interface TcpOptions {
  /** `TCP_NODELAY`. @default true */
  nodelay?: boolean | undefined
  /** Idle time before the first keep-alive probe; false = none. @default false */
  keepAlive?: number | false | undefined
  /** Length of the accept queue. @default 1024 */
  backlog?: number | undefined
  /** `TCP_FASTOPEN`: a client that was here before may send data with its first packet. Also needs `net.ipv4.tcp_fastopen` = 2 or 3. Linux. @default false */
  fastOpen?: boolean | undefined
  /** `TCP_USER_TIMEOUT`: a connection whose peer acknowledges nothing for so long is lost; false = when the system gives up, after many minutes. Linux. @default false */
  userTimeout?: number | false | undefined
  /** `TCP_DEFER_ACCEPT`: a connection is accepted when it has sent something, or after so long, in whole seconds up to an hour. Not where the server speaks first. Linux. @default false */
  deferAccept?: number | false | undefined
}

/** What is spoken on a port: HTTP with WebSockets by its upgrade, WebSockets only, messages of the app's own over TCP, or packets. */
export type PortProtocol = 'http' | 'websocket' | 'tcp' | 'udp'

/** A port of {@link Config.ports}. */
export type PortSpec = ConnectionPortSpec | UdpPortSpec

/** A port with connections. What it does not say itself is as for the whole server. */
export interface ConnectionPortSpec {
  protocol: Exclude<PortProtocol, 'udp'>
  listen: Listen
  limits?: Config['limits']
  heartbeat?: Heartbeat | undefined
  dispatch?: Dispatch | undefined
  http2?: boolean | undefined
  tcp?: TcpOptions | undefined
  /** Where one message of a TCP port ends and the next begins; of no other port. @default 'raw' */
  framing?: Framing | undefined
  /** The longest message of a TCP port, as it is handed to the app. Another name for its `limits.message`, and the one that wins. */
  maxMessage?: number | undefined
  /** When it cannot be bound, the error is reported, {@link Port.error} says why, and the server starts without it. @default false the server does not start */
  optional?: boolean | undefined
  proxy?: Proxy | undefined
  /** Certificates of its own; `true`: those of the whole server, {@link Config.tls}. @default false */
  tls?: boolean | Tls | undefined
}

/** Peers that speak for others. */
export interface Proxy {
  /** Whom to believe: IP addresses, ranges such as `10.0.0.0/8`, and `unix` for whoever may connect to a unix socket. At most 1024. @default [] nobody */
  trust?: readonly string[] | undefined
  /**
   * Where they name the client: `'x-forwarded'` in `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, `'x-real'` in `X-Real-IP`, `X-Real-Port` and `Scheme`,
   * `'forwarded'` in `Forwarded` (RFC 7239). `ctx.ip`, `port`, `scheme`, `host` and `ctx.conn.forwardedFor` follow it. @default 'x-forwarded'
   */
  headers?: ForwardedHeaders | undefined
  /** Their connections begin with a PROXY header of this version; others are closed. Needs `trust`. @default false */
  protocol?: 'v1' | 'v2' | 'auto' | false | undefined
}

/** Where proxies name the client. */
export type ForwardedHeaders = 'x-forwarded' | 'x-real' | 'forwarded'

/** A {@link Proxy} with every member. */
export interface ProxyRecord {
  readonly trust: readonly string[]
  readonly headers: ForwardedHeaders
  readonly protocol: 'v1' | 'v2' | 'auto' | null
}

/** A certificate with its key, each a file, from `root`, or PEM as text or bytes. */
export interface TlsIdentity {
  /** The certificate, followed by its intermediates. */
  cert: string | Uint8Array
  /** The private key, not encrypted: PKCS#8, SEC1 or PKCS#1. */
  key: string | Uint8Array
}

/** Certificates of a port, and what it asks of clients. What cannot be used fails the start with ERR_SLUICE_INVALID_OPTION. */
export interface Tls extends TlsIdentity {
  /** The authorities whose certificates clients may show; needs `requestCert`. @default none */
  ca?: string | Uint8Array | undefined
  /** Asks clients for a certificate. @default false */
  requestCert?: boolean | undefined
  /** With `requestCert`: refuses clients that show none, or one that `ca` has not signed. Else `ctx.conn.tls.authorized` tells. @default true */
  rejectUnauthorized?: boolean | undefined
  /** The oldest version spoken. @default 'TLSv1.2' */
  minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  /** Application protocols (RFC 7301), the preferred one first; at most 16. @default ['h2', 'http/1.1'] on HTTP and WebSocket ports, without 'h2' if their `http2` is false, else none */
  alpn?: readonly string[] | undefined
  /** Other certificates by the name that a client asks for: `example.com`, or `*.example.com` for one label more. At most 1024. @default none */
  sni?: Readonly<Record<string, TlsIdentity>> | undefined
  /** Reads the files again when they change, for connections to come. @default true */
  watch?: boolean | undefined
}

/** A port with packets: UDP, or datagrams of a unix socket. */
export interface UdpPortSpec {
  protocol: 'udp'
  listen: TcpListen | UnixListen
  /** Which worker gets a packet: each in turn, one that has nothing to do, or always the same for an address. @default 'round-robin' */
  dispatch?: 'round-robin' | 'idle' | 'ip' | undefined
  /** Multicast groups to join, at most 64: an address, or `address%interface`, the interface by name, number or IPv4 address. @default [] */
  multicast?: readonly string[] | undefined
  /** `SO_BROADCAST`: packets may be sent to broadcast addresses. @default false */
  broadcast?: boolean | undefined
  /** Bytes of packets that wait for workers, and of those that wait to be sent, 64 KiB to 1 GiB; beyond, packets are dropped and counted. @default 4_194_304 */
  queue?: number | undefined
  /** `SO_RCVBUF` in bytes, up to 1 GiB; the system has a bound of its own. @default 0 what the system gives */
  receiveBuffer?: number | undefined
  /** `SO_SNDBUF`, likewise. @default 0 */
  sendBuffer?: number | undefined
  /** As for other ports. @default false */
  optional?: boolean | undefined
}

/**
 * How the messages of a TCP stream are told apart. `'raw'`: not at all, what has come is handed over in pieces of at most 64 KiB;
 * `'lines'`: each ends with LF or CRLF, which is left out; `'varint'`: each has its length before it as LEB128, as protobuf streams
 * have, which is left out; `'netstring'`: `5:hello,`; `'mqtt'`: control packets, whole. What breaks the format, or is longer than
 * `maxMessage`, closes the connection with `by: 'error'`.
 */
export type Framing = 'raw' | 'lines' | 'mqtt' | 'varint' | 'netstring' | EofFraming | LengthFraming

/** Each message ends with a mark. */
export interface EofFraming {
  /** 1 to 8 bytes; a string as UTF-8. */
  eof: string | Uint8Array
  /** Every mark ends a message; false: the last one that has come does, so that several may come glued. @default true */
  split?: boolean | undefined
  /** The mark is part of the message. @default true */
  keep?: boolean | undefined
}

/** Each message says how long it is: it has `bodyOffset` bytes and as many more as the number at `offset` says. */
export interface LengthFraming {
  /** The number's type. A negative one closes the connection. */
  length: 'u8' | 'u16be' | 'u16le' | 'u32be' | 'u32le' | 'u64be' | 'u64le' | 'i16be' | 'i32be'
  /** Bytes before the number, up to 4096. @default 0 */
  offset?: number | undefined
  /** Bytes that the number does not count, up to 4096; 0: it counts the whole message. @default the end of the number */
  bodyOffset?: number | undefined
  /** Leaves the header out: the first `bodyOffset` bytes, and at least the number. @default false */
  strip?: boolean | undefined
}

/** A {@link Framing} as the core takes it: marks as bytes. */
export type ResolvedFraming = Exclude<Framing, EofFraming> | (Omit<EofFraming, 'eof'> & { readonly eof: readonly number[] })

export type Listen = TcpListen | UnixListen | InheritedListen

export interface TcpListen {
  /** IP address or host name; `::` takes IPv4, too; of a name with several addresses, such as `localhost`, all. @default '127.0.0.1' */
  host?: string | undefined
  /** 0 picks a free port. */
  port: number
  /** `SO_REUSEPORT`: another process may bind the same port. @default false */
  reusePort?: boolean | undefined
  /** An IPv6 socket takes no IPv4 connections. @default false */
  ipv6Only?: boolean | undefined
  /** Certificates for this address; `false`: none. @default true if the server has `tls` */
  tls?: boolean | Tls | undefined
}

export interface UnixListen {
  /** The socket file, from `root`; a stale one is removed. With a NUL in front a name in Linux's abstract namespace, without a file. */
  path: string
  /** Mode of the file. @default 0o660 */
  mode?: number | undefined
  /** Whose the file is: `user`, `user:group` or `:group`, by name or number. Others than one's own need root. @default the user that starts the server */
  owner?: string | undefined
  /** As for {@link TcpListen.tls}. */
  tls?: boolean | Tls | undefined
}

/** A socket that whoever starts the server has opened. It stays open when the server ends, so that nobody is refused between two of them. */
export interface InheritedListen {
  /** The number of the descriptor, from 3 (`LISTEN_FDS` of systemd counts from there), or its name in `LISTEN_FDNAMES`. */
  fd: number | string
  /** As for {@link TcpListen.tls}. */
  tls?: boolean | Tls | undefined
}

export type Dispatch =
  | 'least-requests'
  | 'round-robin'
  | 'idle'
  | 'connection'
  | 'least-connections'
  | 'ip'
  | 'uid'
  | { key: `cookie:${string}` | `header:${string}` | `query:${string}` | `path:${number}` }

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** What a form may have, and where its files go while its request is handled. */
export interface Uploads {
  /** The directory in which the server makes one of its own for the files, from `root`. @default the system's directory for temporary files */
  dir?: string | undefined
  /** Bytes of a whole form; beyond: 413. @default 67_108_864 */
  maxBytes?: number | undefined
  /** Bytes of one file; a longer one comes without content and with `error` 1. @default `maxBytes` */
  fileBytes?: number | undefined
  /** Files of up to so many bytes stay in memory and have no `path`. @default 0 every file is on disk */
  spoolAbove?: number | undefined
  /** Fields that are no files; beyond: 413. @default 1000 */
  fields?: number | undefined
  /** Files; beyond: 413. @default 20 */
  files?: number | undefined
  /** Bytes of the value of one field; beyond: 413. All fields and what stays in memory of the files is bound by `limits.bodyBytes`. @default 1_048_576 */
  fieldBytes?: number | undefined
}

/** How answers are compressed. */
export interface Compression {
  /** The codings to use; the first of those that a client likes best. @default ['zstd', 'br', 'gzip'] */
  encodings?: readonly ContentCoding[] | undefined
  /** Shorter bodies are sent as they are. A stream of unknown length is not bound by it. @default 1024 */
  minBytes?: number | undefined
  /** 1, the fastest, to 9, the smallest; for br, more than 4 counts as 4. @default what suits each coding: br 4, zstd 3, gzip 5 */
  level?: number | undefined
  /**
   * Media types: `type/subtype`, `type/*` or `*+suffix`. `text/event-stream` counts only under its full name.
   * @default ['text/*', '*+json', '*+xml', 'application/json', 'application/javascript', 'application/xml', 'application/wasm']
   */
  types?: readonly string[] | undefined
}

/** A function of the app that takes request, response or context; `http/` gives it its exact type. */
export type RequestHook = (...details: never[]) => unknown

/** The bounds of a port. The core enforces them; `stats().rejected` counts by the same names. */
export interface Limits {
  /** Request line and header fields together, at most 64 KiB; beyond: 431. @default 65_536 */
  headerBytes: number
  /** Number of header fields; beyond: 431. @default 100 */
  headerFields: number
  /** Request target; beyond: 414. @default 16_384 */
  targetBytes: number
  /** Body read as a whole; beyond: 413. Streamed bodies are not bound by it. @default 4_194_304 */
  bodyBytes: number
  /** From the first byte of a request to the end of its header: 408. @default 10_000 */
  headerTimeout: number
  /** Bytes per second a request body must keep to after `bodyGrace`: 408. 0 = off. @default 240 */
  bodyMinRate: number
  /** How long a body may be slower than `bodyMinRate`. @default 10_000 */
  bodyGrace: number
  /** Idle time between requests of a connection, then it is closed. @default 75_000 */
  keepAliveTimeout: number
  /** From dispatch to the start of the answer: 504. 0 = off. @default 60_000 */
  answerTimeout: number
  /** How long an answer may make no progress into the socket, then it is reset. @default 30_000 */
  sendTimeout: number
  /** Open connections; beyond: accepting waits. @default 100_000 */
  connections: number
  /** Requests in flight, waiting ones included; beyond: 503. @default 100_000 */
  concurrency: number
  /** Requests in flight per worker; beyond: they wait for a worker. @default 1024 */
  workerConcurrency: number
  /** How long a request may wait for a worker: 503. @default 10_000 */
  queueTimeout: number
  /** Pipelined requests of one connection in flight at once; beyond: reading stops. @default 32 */
  pipeline: number
  /** Streams of one HTTP/2 connection open at once; beyond: refused, and the client sends them again. @default 128 */
  streams: number
  /** SETTINGS, PING, PRIORITY and other frames without a use that an HTTP/2 client may send in a second, from 10; beyond: GOAWAY. @default 1000 */
  controlFrames: number
  /** Streams that an HTTP/2 client may reset in a second; beyond: GOAWAY. @default 200 */
  streamResets: number
  /** Unsent bytes of one connection, 1 KiB to 1 GiB: at which a streamed answer is paused and `send()` of a WebSocket returns 0. @default 1_048_576 */
  sendBuffer: number
  /** Unsent bytes of one connection above which `send()` returns -1, and it is not read any more. @default 0.8 × `sendBuffer` */
  highWaterMark: number
  /** Unsent bytes at which `drain` follows; less than `highWaterMark`. @default 0.25 × `sendBuffer`, at most half of `highWaterMark` */
  lowWaterMark: number
  /** A WebSocket message, inflated, or one of a TCP port, up to 1 GiB; beyond: closed with 1009. @default 2_097_152 */
  message: number
  /** WebSocket handshakes of a port per second; beyond: 503. Connections of a TCP port; beyond: reset. 0 = off. @default 0 */
  openPerSecond: number
  /** Messages of one WebSocket or TCP connection per second; beyond: it is not read until the next second. 0 = off. @default 0 */
  messagesPerSecond: number
  /**
   * Origins whose pages may open a WebSocket, such as `https://example.com`, or `*`; others: 403. At most 256. Empty: any. Clients that
   * are no browsers send no `Origin` and always may. @default []
   */
  allowOrigins: string[]
}

/** A {@link Config} that was checked and filled. Frozen, and parsing it again gives itself. Off is 0. */
export interface ResolvedConfig {
  readonly name: string | undefined
  /** Absolute; not followed through symbolic links yet. */
  readonly root: string
  /** A path from `root`, an absolute path, or a `file:` URL. Undefined only where handlers are given as functions. */
  readonly app: string | undefined
  /** All ports, those of `listen` first. */
  readonly ports: readonly ResolvedPort[]
  readonly workers: number
  readonly core: { readonly threads: number; readonly affinity: readonly number[] }
  readonly maxWaitTime: number
  readonly requestTimeout: { readonly soft: number; readonly hard: number }
  readonly stuckAfter: number
  readonly onWorkerCrash: { readonly replay: 'idempotent' | 'none'; readonly maxBody: number; readonly status: number }
  readonly recycle: { readonly requests: number; readonly grace: number; readonly heapMb: number; readonly age: number }
  readonly reload: {
    readonly concurrency: number
    readonly startTimeout: number
    readonly rollback: { readonly errors: number; readonly within: number } | false
    readonly drainGrace: number
  }
  readonly resourceLimits: Readonly<ResourceLimits>
  readonly topics: { readonly history: { readonly messages: number; readonly bytes: number; readonly age: number }; readonly historyBytes: number }
  readonly timers: { readonly max: number; readonly bytes: number }
  readonly processes: Readonly<Record<string, ResolvedProcess>>
  readonly tasks: ResolvedTasks
  readonly cron?: ResolvedCron | undefined
  readonly compression: { readonly encodings: readonly ContentCoding[]; readonly minBytes: number; readonly level?: number | undefined; readonly types: readonly string[] } | false
  readonly static: readonly ResolvedStatic[]
  readonly decompression: boolean
  /** `dir` is absolute. */
  readonly uploads: { readonly [K in keyof Uploads]-?: NonNullable<Uploads[K]> }
  readonly tables: Readonly<Record<string, TableSpec>>
  readonly serverHeader: string | false
  readonly lifecycle: { readonly [K in keyof LifecycleEvents]: readonly LifecycleHandler<K>[] }
  readonly hooks: { readonly requestReceived?: RequestHook | undefined; readonly responseGenerated?: RequestHook | undefined }
  readonly cleaners: readonly RequestHook[]
  readonly env: string | undefined
  readonly version: string | undefined
  /** Absolute. */
  readonly stateDir: string | false
  /** `stateDir` if the configuration, the environment or the command names it: then the tables are there for other processes. */
  readonly namedStateDir: string | undefined
  readonly daemon: boolean
  readonly user: string | undefined
  readonly group: string | undefined
  readonly log: { readonly level: LogLevel; readonly file: string | undefined; readonly format: 'pretty' | 'json' }
  /** The configuration file, from which a worker loads the functions again: they cannot cross threads. */
  readonly source: string | undefined
}

/** A document root: the core sends its files without asking a worker. `docs/reference/static-files.md` says what clients get. */
export interface StaticOptions {
  /** The directory, from `root` of the configuration. It must exist; looked up again every second, so that a symbolic link may be switched. */
  root: string
  /** Paths below it are the directory's. @default '/' */
  prefix?: string | undefined
  /** Files that stand for their directories, the preferred first. @default ['index.html'] */
  index?: readonly string[] | undefined
  /** Lists directories without an index. @default false */
  autoindex?: boolean | undefined
  /** Names that begin with a dot, but for `/.well-known/`: 403, as if there were none, or files like others. @default 'deny' */
  dotfiles?: 'deny' | 'ignore' | 'allow' | undefined
  /** The value of `Cache-Control`. @default undefined none is sent */
  cacheControl?: string | undefined
  /** Sends strong ETags, of length and time of the last change. @default true */
  etag?: boolean | undefined
  /** Sends `.br`, `.zst` and `.gz` files that lie beside a file in its place to those who take them. @default false */
  precompressed?: boolean | undefined
  /** Asks the app where there is no file; false: 404. @default true */
  fallthrough?: boolean | undefined
  /**
   * Regular expressions in the syntax of Rust's `regex` (no look-around), and the path that stands in for what fits, with `$1` for a
   * group. The first that fits the decoded path counts, once. Up to 64. @default {}
   */
  rewrite?: Readonly<Record<string, string>> | undefined
}

/** How tasks and events are run. */
export interface TasksConfig {
  /** Threads that run nothing but tasks, 0 to 120; 0: the ordinary workers run them. @default 1 when there is `tasks`, else 0 */
  workers?: number | undefined
  /** Tasks in the hands of one task worker at once, 1 to 256. @default 16 */
  concurrency?: number | undefined
  /**
   * Modules with tasks, from `root`, which every worker imports beside the app; with `*` in a name, `**` for any folders between: all that fit. Classes that
   * they export and that extend `Task`, `Event` or `Listener` are known by that. @default []
   */
  files?: string | readonly string[] | undefined
  /** A task worker is replaced after so many tasks. 0 = never. @default 0 */
  maxTasks?: number | undefined
  /** Queues beside `default`, by name, up to 255; `default` may be given, too, without `workers`. @default {} */
  queues?: Readonly<Record<string, TaskQueue>> | undefined
  /** Failed tasks that are kept, to be looked at and tried again with `sluice tasks`; the oldest go first. @default 1000 */
  keepFailed?: number | undefined
  /** Tasks at once: waiting, delayed and running; beyond: ERR_SLUICE_TASK_QUEUE_FULL. @default 100_000 */
  max?: number | undefined
  /** Bytes of their inputs, 64 KiB to 4 GiB - 1; beyond: the same. @default 67_108_864 */
  bytes?: number | undefined
  /** The file, from `root`, that keeps tasks over the end of the process, and when one counts as stored; see {@link DurableTasks}. @default false */
  durable?: DurableTasks | false | undefined
}

/** Where tasks are kept that are to outlive the process. */
export interface DurableTasks {
  /** The file, from `root`; one server at a time has it. Its folder must be there. */
  path: string
  /**
   * `always`: a task counts as stored when it is on the disk; many share one `fsync`. `interval`: when the system has it, which gives it to the disk every second;
   * then a kill of the process loses nothing, a crash of the machine up to a second. @default 'always'
   */
  fsync?: 'always' | 'interval' | undefined
}

/** A queue of tasks with bounds of its own. */
export interface TaskQueue {
  /** Task workers of its own, which run no other tasks. 0: it shares those of `tasks.workers`. @default 0 */
  workers?: number | undefined
  /** Tasks of this queue that run at once in the whole server. 0: as many as the workers take. @default 0 */
  concurrency?: number | undefined
  /** No more than `limit` tasks of this queue, up to 1 000 000, begin in `per` milliseconds. @default undefined no bound */
  rate?: { limit: number; per: number } | undefined
}

/** The cron jobs of a server. */
export interface CronConfig {
  /**
   * Jobs: what `defineCron` or `defineCommandCron` gives, a class that extends `CronJob`, or `[class, [interval, isImmediate]]`. They are functions, so
   * only a configuration file can have them; elsewhere `files` is the way. @default []
   */
  jobs?: readonly CronEntry[] | undefined
  /** Modules, from `root`, whose exports are jobs; with `*` in a name, `**` for any folders between: all that fit. @default [] */
  files?: string | readonly string[] | undefined
  /** How long runs may go on after a reload or a stop, in milliseconds. @default that of the server */
  maxWaitTime?: number | undefined
}

/** A {@link CronConfig} with every member. */
export interface ResolvedCron {
  readonly jobs: readonly CronEntry[]
  /** As they were given. */
  readonly files: readonly string[]
  readonly maxWaitTime?: number | undefined
}

/** A {@link TasksConfig} with every member. */
export interface ResolvedTasks {
  readonly workers: number
  readonly concurrency: number
  /** As they were given. */
  readonly files: readonly string[]
  readonly maxTasks: number
  /** The first is `default`; the others in the order of the configuration. */
  readonly queues: readonly ResolvedQueue[]
  readonly keepFailed: number
  readonly max: number
  readonly bytes: number
  /** With an absolute path. */
  readonly durable: Readonly<Required<DurableTasks>> | false
}

/** A {@link TaskQueue} with every member. */
export interface ResolvedQueue {
  readonly name: string
  readonly workers: number
  readonly concurrency: number
  readonly rate: { readonly limit: number; readonly per: number } | undefined
}

/** {@link StaticOptions} with every member; `root` is absolute. */
export type ResolvedStatic = { readonly [K in Exclude<keyof StaticOptions, 'cacheControl'>]-?: Exclude<StaticOptions[K], undefined> } & { readonly cacheControl?: string | undefined }

/** One port with all that holds for it. */
export interface ResolvedPort {
  readonly name: string
  readonly protocol: PortProtocol
  readonly listen: ResolvedTcpListen | ResolvedUnixListen | ResolvedInheritedListen
  readonly limits: { readonly [K in keyof Limits]: Readonly<Limits[K]> }
  readonly heartbeat: { readonly ping: number; readonly pongTimeout: number; readonly idle: number }
  readonly dispatch: Dispatch
  readonly http2: boolean
  readonly framing: ResolvedFraming
  readonly tcp: {
    readonly nodelay: boolean
    readonly keepAlive: number
    readonly backlog: number
    readonly fastOpen: boolean
    readonly userTimeout: number
    readonly deferAccept: number
  }
  readonly optional: boolean
  readonly proxy: ProxyRecord
  readonly tls: ResolvedTls | undefined
  /** Of a UDP port. */
  readonly udp?: ResolvedUdp
}

/** A {@link Tls} with every member, as the core takes it. */
export interface ResolvedTls {
  /** Where it was written, as `ports.chat.tls`. */
  readonly option: string
  readonly cert: PemSource
  readonly key: PemSource
  readonly ca: PemSource | undefined
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly alpn: readonly string[]
  readonly sni: Readonly<Record<string, { readonly cert: PemSource; readonly key: PemSource }>>
  readonly watch: boolean
}

/** What only a UDP port has. */
export interface ResolvedUdp {
  readonly multicast: readonly string[]
  readonly broadcast: boolean
  readonly queue: number
  readonly receiveBuffer: number
  readonly sendBuffer: number
}

/** A {@link TcpListen} with every member. */
export type ResolvedTcpListen = { readonly [K in Exclude<keyof TcpListen, 'tls'>]-?: Exclude<TcpListen[K], undefined> }

/** A {@link UnixListen} without what the port has. */
export type ResolvedUnixListen = Omit<UnixListen, 'tls'>

/** An {@link InheritedListen} without what the port has. */
export type ResolvedInheritedListen = Omit<InheritedListen, 'tls'>

const resolvedConfigs = new WeakSet<object>()

/**
 * Checks a configuration and fills it with defaults.
 *
 * `source` is the file it came from, for messages and as the start of relative paths.
 * @throws ERR_SLUICE_INVALID_OPTION naming the path of the first wrong or unknown option
 */
export function parseConfig(input: unknown, source?: string): ResolvedConfig {
  if (isResolved(input)) return input
  const parsed = v.safeParse(configSchema, input)
  if (!parsed.success) throw explain(parsed.issues, configSchema, source)
  const options = parsed.output

  const stateDir = options.stateDir !== false && resolve(source === undefined ? '.' : dirname(source), options.stateDir)
  const root = resolve(source === undefined ? '.' : dirname(source), options.root ?? '.')
  const hard = options.requestTimeout.hard ?? options.limits.answerTimeout
  const { requests, grace = requests > 10 ? Math.floor(requests / 2) : 0, ...recycle } = options.recycle
  const resolved: ResolvedConfig = {
    ...general(options),
    name: options.name,
    env: options.env,
    version: options.version,
    user: options.user === undefined ? undefined : String(options.user),
    group: options.group === undefined ? undefined : String(options.group),
    root,
    app: options.app instanceof URL ? options.app.href : options.app,
    ports: resolvePorts(options, root, hard, source),
    static: options.static.map((entry) => ({ ...entry, root: resolve(root, entry.root) })),
    core: { ...options.core, threads: options.core.threads === 'auto' ? autoReactors(options.workers) : options.core.threads },
    requestTimeout: { soft: options.requestTimeout.soft, hard },
    processes: Object.fromEntries(Object.entries(options.processes).map(([name, spec]) => [name, resolveProcess(spec, options.stuckAfter)])),
    tasks: resolveTasks(options.tasks, root),
    recycle: { requests, grace, ...recycle },
    hooks: { requestReceived: options.hooks.requestReceived, responseGenerated: options.hooks.responseGenerated },
    uploads: { ...options.uploads, dir: options.uploads.dir === undefined ? tmpdir() : resolve(root, options.uploads.dir), fileBytes: options.uploads.fileBytes ?? options.uploads.maxBytes },
    stateDir,
    tables: Object.fromEntries(Object.entries(options.tables).map(([name, spec]) => [name, spec.persist === undefined ? spec : { ...spec, persist: resolve(root, spec.persist) }])),
    namedStateDir: stateDir !== false && namesStateDir(input) ? stateDir : undefined,
    log: { ...options.log, file: options.log.file === undefined ? undefined : resolve(root, options.log.file) },
    source,
  }
  resolvedConfigs.add(deepFreeze(resolved))
  return resolved
}

function resolveProcess(spec: v.InferOutput<typeof configSchema>['processes'][string], stuckAfter: number): ResolvedProcess {
  const { enable, instances, maxRestarts, pipe, queue, restartInterval } = spec
  const common = { enable, instances, maxRestarts, pipe, queue, restartInterval }
  const none = { file: undefined, run: undefined, onReload: undefined, onStop: undefined, command: undefined, redirect: false }
  if ('command' in spec) return { ...none, ...common, kind: 'command', stuckAfter: 0, command: spec.command, redirect: spec.redirect }
  const { file, kind, onReload, onStop, run } = spec
  return { ...none, ...common, kind, stuckAfter: spec.stuckAfter === undefined ? stuckAfter : spec.stuckAfter || 0, file: file instanceof URL ? file.href : file, run, onReload, onStop }
}

/** Without `tasks` there are no threads for them alone. */
function resolveTasks(options: v.InferOutput<typeof tasksSchema> | undefined, root: string): ResolvedTasks {
  const { durable, queues: { default: first, ...others }, ...rest } = options ?? { ...v.parse(tasksSchema, {}), workers: 0 }
  const queues = Object.entries(others).map(([name, { workers, concurrency, rate }]) => ({ name, workers, concurrency, rate }))
  return { ...rest, durable: durable && { ...durable, path: resolve(root, durable.path) }, queues: [{ name: 'default', workers: 0, concurrency: first?.concurrency ?? 0, rate: first?.rate }, ...queues] }
}

/** By default every program in a directory has the same one, without knowing of each other. */
function namesStateDir(input: unknown): boolean {
  return typeof input === 'object' && input !== null && 'stateDir' in input && input.stateDir !== undefined
}

/** Without what becomes part of each port. */
function general<T extends Partial<Record<(typeof PORT_OPTIONS)[number], unknown>>>(options: T): Omit<T, (typeof PORT_OPTIONS)[number]> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !(PORT_OPTIONS as readonly string[]).includes(name))) as Omit<T, (typeof PORT_OPTIONS)[number]>
}

const PORT_OPTIONS = ['dispatch', 'heartbeat', 'http2', 'limits', 'listen', 'ports', 'proxy', 'tcp', 'tls'] as const

function isResolved(input: unknown): input is ResolvedConfig {
  return typeof input === 'object' && input !== null && resolvedConfigs.has(input)
}

/** Functions stay as they are: they are the user's. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}
