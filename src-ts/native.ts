/**
 * The addon's contract. The one module that loads it.
 *
 * Master calls name a server by the number `startServer` gave; worker calls name an attachment by the
 * number in {@link WorkerMemory.worker}, which is local to the calling thread.
 */
import { loadBinding } from './load-binding.ts'
import type { NativeTables } from './table/native-table.ts'

/** What a worker thread gets when it attaches. The buffers are the core's own memory: they must never reach user code. */
export interface WorkerMemory {
  /** Names this attachment in the calls below, on this thread only. */
  worker: number
  /** The worker block, 4 KiB. */
  block: ArrayBuffer
  /** One event ring per reactor: 256 bytes of header, then the data. */
  events: ArrayBuffer[]
}

/** Master side, any thread. Throws errors with a `code`. */
export interface NativeServer {
  /** Binds every port of the JSON configuration and starts the reactors. Accepts nothing yet. @throws ERR_SLUICE_LISTEN, ERR_SLUICE_INVALID_OPTION */
  startServer(config: string): number
  /** JSON: `{ ports: [{ name, protocol, bodyBytes, host?, port?, path? }], reactors }`. */
  serverInfo(server: number): string
  /** Reads the certificates of every port again, for connections to come; `certificates` notices follow. A port whose new ones cannot be used goes on with the old. */
  renewCertificates(server: number): void
  /** Starts accepting connections; call it when the first worker is active. */
  acceptConnections(server: number): void
  /** `wake` is called (coalesced) when {@link takeNotices} has something. Keeps the calling thread's loop alive until {@link releaseServer}. */
  attachMaster(server: number, wake: () => void): void
  /** JSON array of {@link Notice}, oldest first, or null when there is none. */
  takeNotices(server: number): string | null
  /** Reserves a slot for a worker thread that is about to start. */
  createWorker(server: number): number
  /** Lets the dispatcher choose this worker, which has attached. `home` is its logical number: a successor has the same, and sticky requests stay with it. `role`: 0 answers, 1 runs tasks, 2 runs cron jobs, 3 is a process, 4 and above run the tasks of one queue; only the first gets requests and connections. */
  activateWorker(server: number, slot: number, home: number, role: number): void
  /** Takes it out of dispatch. A `drained` notice follows when nothing is in its hands, no connection either. `reason`: what `adopt` tells who gets its connections, 0 reload or 3 recycle. */
  drainWorker(server: number, slot: number, reason: number): void
  /** Treats the worker as dead from now on, whether its thread has ended or not. A `gone` notice follows. False when it is gone already. */
  writeOffWorker(server: number, slot: number): boolean
  /** Passes on the locks of a thread that is taken for dead, whether it has ended or hangs. `thread`: its number in Node. */
  writeOffThread(thread: number): void
  /** `[uid, gid]` of `user`, `user:group` or `:group`; null for what is not said. @throws ERR_SLUICE_INVALID_ARG for a name that nobody has */
  lookUpOwner(owner: string): [uid: number | null, gid: number | null]
  /** JSON: counters of the whole server, see `ServerStats` in `server.ts`. */
  serverStats(server: number): string
  /** Stops accepting; connections close after their current answers, idle ones after `grace` ms. A `stopped` notice follows when none is left. Idempotent. */
  stopServer(server: number, grace: number, code: number): void
  /** A `tasksDone` notice follows when nothing is in the hands of any worker, and nothing that waits can go to one. */
  finishTasks(server: number): void
  /** Closes what is left at once, ends the reactors and frees the server. Idempotent. */
  releaseServer(server: number): void
  /** Names the calling OS thread (15 bytes), as `top -H` shows it. */
  nameThread(name: string): void
  /** Pins the calling OS thread to one CPU. False where it cannot be done. */
  pinThread(cpu: number): boolean
  /** Every error code that the addon can raise. */
  errorCodes(): string[]
}

/** Cron jobs. */
export interface NativeCron {
  /**
   * The list of jobs, JSON `[{ name, every | cron, timeZone?, immediate, overlap, missed, timeout }]`. It holds from the moment on in which the worker is
   * activated. With `revives` jobs that were stopped go on again. @throws ERR_SLUICE_CRON
   */
  setCron(worker: number, jobs: string, revives: boolean): void
  /** Any thread. A job does not run any more; false when there is none of that name. */
  stopCron(server: number, name: string): boolean
  /** Any thread. Runs a job now. 0 there is none of that name, 1 it runs and may not run more, 2 it runs when its predecessor is over, 3 it runs. */
  runCron(server: number, name: string): number
  /** Any thread. JSON of `CronJobInfo[]`, with `count` next times each. */
  cronList(server: number, count: number): string
}

/** Worker side, on the thread that attached. The hot ones take primitives only. */
export interface NativeWorker extends NativeConnections, NativeBodies, NativePackets, NativeCalls {
  /** Attaches the calling thread to a slot. `wake` is called when a record waits and the worker is parked. */
  attachWorker(server: number, slot: number, wake: () => void): WorkerMemory
  /** Detaches; what is still in this worker's hands is handed over. Also done by the thread's end, however it ends. Idempotent. */
  detachWorker(worker: number): void
  /**
   * Answers an exchange in one go. `meta` = status | template << 16 | coding << 21 | flags << 24 (coding: 0 not looked at, 1 none that the client
   * takes, 2 gzip, 3 br, 4 zstd; flags as in the command record: 2 CLOSE, 4 HAS_DATE, 8 HAS_SERVER).
   * `headers` is a validated block (`name: value\r\n`…). False when the exchange is gone or was answered.
   */
  respond(worker: number, lane: number, index: number, generation: number, meta: number, headers: string, body: string | Uint8Array | null): boolean
  /** Starts a streamed answer; `length` -1 = unknown (chunked). */
  respondHead(worker: number, lane: number, index: number, generation: number, meta: number, headers: string, length: number): boolean
  /** The next bytes of a streamed answer. With `wantDrain` a DRAIN record follows as soon as the connection's buffer is low. */
  respondChunk(worker: number, lane: number, index: number, generation: number, data: string | Uint8Array, wantDrain: boolean): boolean
  /** Ends a streamed answer. */
  respondEnd(worker: number, lane: number, index: number, generation: number): boolean
  /** Gives a streamed answer up: the client sees a broken transfer, never a complete one. */
  respondReset(worker: number, lane: number, index: number, generation: number): boolean
  /**
   * Answers an exchange with a file, in the ranges and under the conditions of its request. `mediaName` tells the media type unless `headers`
   * do. With `remove` the file is unlinked when it is sent, or when nobody wants it. 1; 0 when the exchange is gone; below 0 the number
   * of the system's error, and nothing is answered.
   */
  respondFile(worker: number, lane: number, index: number, generation: number, meta: number, headers: string, path: string, mediaName: string, remove: boolean): number
  /** Returns credit for `bytes` of a streamed request body. The first call of an exchange also sends `100 Continue` if the client waits for it. */
  credit(worker: number, lane: number, index: number, generation: number, bytes: number): void
  /** Declares that the exchange may be repeated if this worker dies, whatever its method. */
  markIdempotent(worker: number, lane: number, index: number, generation: number): boolean
  /** The out-of-line body of a request; undefined when it is gone. */
  takeBlob(worker: number, lane: number, index: number, generation: number): Buffer | undefined
  /** JSON of `ConnectionInfo`, or null when the exchange is gone. */
  connectionInfo(worker: number, lane: number, index: number, generation: number): string | null
  /** Wakes reactors that have commands waiting; the last act of a batch. */
  flush(worker: number): void
}

/** What became of a step in reading a form. */
export interface FormProgress {
  /** 0 go on; 1 wait for a DRAIN record with SPOOLED; 2 it is malformed; 3 it is too large; 4 there is no such form. */
  step: number
  /** With 2 and 3, why. */
  fault?: string
}

/** Undoes the coding of one request body. */
export interface NativeBodyDecoder {
  /** False for a coding that cannot be undone, and after {@link free}. */
  readonly isKnown: boolean
  /** One step: at most 64 KiB come out. Null when the input breaks the rules of its coding. */
  decode(input: Uint8Array): { data: Uint8Array; consumed: number; isDrained: boolean; isComplete: boolean } | null
  /** Frees its memory before it is collected. Idempotent. */
  free(): void
}

/** Bodies beyond handing them over. On the thread that attached. */
export interface NativeBodies {
  /** `coding`: the value of a `content-encoding`. */
  BodyDecoder: new (coding: string) => NativeBodyDecoder
  /** Whether an answer is compressed if `meta` names a coding: by its type, its length, and what its `headers` say. */
  mayEncode(worker: number, meta: number, headers: string, length: number): boolean
  /** Lets go of an exchange that is not answered yet: no record about it follows. A token for {@link claimExchange}, or -1 when it is gone or its answer has begun. */
  detachExchange(worker: number, lane: number, index: number, generation: number): number
  /** Takes a detached exchange over, of whichever worker: its generation from now on, as u32. -1 when it is gone, was claimed before, or is of another server. */
  claimExchange(worker: number, lane: number, index: number, token: number): number
  /** Begins to read a form in parts; a number for the calls below, or -1 when `contentType` is of another kind. `memory`: bytes that may be kept of it in memory. */
  formOpen(worker: number, lane: number, index: number, generation: number, contentType: string, memory: number): number
  formWrite(worker: number, form: number, data: Uint8Array): FormProgress
  /** There are no more bytes. After 1, call it again. */
  formEnd(worker: number, form: number): FormProgress
  /** JSON `{ fields: [name, value][], files: [{ field, name, type, size, path, error, reason? }] }`, or null when there is no such form. */
  formContent(worker: number, form: number): string | null
  /** The content of a file that was kept in memory, by its position. */
  formBytes(worker: number, form: number, file: number): Buffer | null
  /** Removes the files of a form. Idempotent. */
  formClose(worker: number, form: number): void
}

/**
 * Connections that outlive their request, WebSockets and event streams, in the hands of the worker that owns them. On the
 * thread that attached. A handle names one of them until it is detached; a call with that of a connection which has ended
 * does nothing and says so.
 */
export interface NativeConnections {
  /**
   * Answers an exchange whose request is a WebSocket handshake with 101. `headers` as in `respond`, without those of the handshake;
   * `protocol` '' = none; `settings`: ten u32, see `src-ts/websocket/settings.ts`. A WS_OPEN record follows. False when the exchange is gone.
   */
  upgrade(worker: number, lane: number, index: number, generation: number, headers: string, protocol: string, settings: Uint8Array, state: Uint8Array | null): boolean
  /**
   * Answers an exchange with 200 and a `text/event-stream` whose connection outlives it. `options`: JSON
   * `{ topics: string[], retry?: number, replay: boolean, lastEventId?: string, named: boolean }`. A WS_OPEN record follows. False when the exchange is gone.
   */
  eventStream(worker: number, lane: number, index: number, generation: number, headers: string, options: string): boolean
  /** A handle (>= 0) on a connection that this worker owns, one for each WS_OPEN and WS_ADOPT; -1 when it is gone. */
  attachConnection(worker: number, id: number): number
  /** Gives the number of a handle back, to be used again. Says nothing to the reactor. */
  detachConnection(worker: number, handle: number): void
  /**
   * Sends a frame, or on an event stream the bytes of whole events. `kind` = opcode | 16 FIN | 32 COMPRESS. Bytes accepted; -1 accepted, but
   * more than the high-water mark waits; 0 not sent. A WS_DRAIN record follows -1, and 0 of a connection that is open.
   */
  send(worker: number, handle: number, data: string | Uint8Array, kind: number): number
  /** Bytes that wait to be sent. */
  bufferedAmount(worker: number, handle: number): number
  isConnectionOpen(worker: number, handle: number): boolean
  /** Begins the closing handshake; of an event stream: ends it. False when it is closing or gone. */
  closeConnection(worker: number, handle: number, code: number, reason: string): boolean
  /** Drops what waits to be sent and the connection with it. */
  terminateConnection(worker: number, handle: number): boolean
  /** No message is delivered from now on; what is in the ring already is to be returned. */
  pauseConnection(worker: number, handle: number): void
  /** Delivers again, from the message with the number `next` on, in the other epoch. */
  resumeConnection(worker: number, handle: number, next: number): void
  /** Gives a WS_MESSAGE or WS_CLOSE record back, to come again in its turn: w1 and w4 of the record, and its payload (none with BLOB). */
  returnMessage(worker: number, handle: number, sequence: number, word: number, code: number, data: Uint8Array): void
  /** Lets the connection go, after its end or a WS_HANDOVER. `next`: the number of the first message that was not handled. */
  release(worker: number, handle: number, next: number): void
  /** No handler of the connection runs, as a WS_SETTLE record asks. `next`: the number of the first message that was not handled. */
  settled(worker: number, handle: number, next: number): void
  /** Exempts from the heartbeat. */
  protectConnection(worker: number, handle: number, yes: boolean): void
  /** The out-of-line payload of a WS_MESSAGE record; undefined when it is gone. */
  takeMessage(worker: number, lane: number, slot: number, sequence: number): Buffer | undefined
  /** `kind` as in `ChannelKind`. False: the connection is gone, or in as many channels as it may be. */
  joinChannel(worker: number, handle: number, kind: number, name: string): boolean
  leaveChannel(worker: number, handle: number, kind: number, name: string): boolean
  /** JSON array of the names of the connection's channels of one kind. */
  channelsOf(worker: number, handle: number, kind: number): string
  /** `uid` null unbinds. */
  bindUid(worker: number, handle: number, uid: string | null): boolean
  /** Serialised; null forgets it. */
  setConnectionState(worker: number, handle: number, state: Uint8Array | null): boolean
  connectionState(worker: number, handle: number): Buffer | undefined
  /** JSON `{ protocol, url, headers: [name, value][], compressed, resumeToken? }` of the handshake, for a connection that was adopted. */
  handshakeOf(worker: number, handle: number): string | null
}

/** Packets of UDP ports in the hands of a worker, on the thread that attached. */
export interface NativePackets {
  /**
   * Sends a packet by the port that another one came by. `meta` = port | flags << 8 | peer's port << 16; `peer` and `local` as in the PACKET
   * record, `address` what follows its payload, or null. False when it is too large or the lane is closed.
   */
  replyPacket(worker: number, lane: number, meta: number, peer: number, local: number, address: Uint8Array | null, data: string | Uint8Array): boolean
  /** Gives a PACKET record back, whole, as it lies in the ring, before a handler has begun it. */
  returnPacket(worker: number, lane: number, record: Uint8Array): boolean
  /** No packet of a port is delivered from now on (what is in the ring already is to be returned), or packets are again. */
  pausePackets(worker: number, lane: number, port: number, yes: boolean): boolean
}

/** Calls of tasks in the hands of a worker, on the thread that attached. */
export interface NativeCalls {
  /** Begins the call that a TASK record names. False: it is not to begin; it was cancelled, or another worker has it. */
  beginCall(worker: number, id: number): boolean
  /**
   * Ends a call that has begun, with its result or its error. `outcome`: 0 done, 1 its handler failed, 2 no such task, or no use in trying again: `bytes` are the error, too. `soon`: it is told
   * with the next call that begins or the next flush, which must follow at once.
   */
  endCall(worker: number, id: number, outcome: number, bytes: Uint8Array | null, soon: boolean): boolean
  /** Tells whoever has delivered the task how far it is. */
  callProgress(worker: number, id: number, bytes: Uint8Array): boolean
  /** The bytes that a TASK or TASK_RESULT record refers to, once. `id`: of the call, for part 2 of the task. `part`: 0 the input, 1 the extra, 2 the result. */
  takeParcel(worker: number, id: number, part: number): Buffer | undefined
}

/** Tasks, for every thread of a server. */
export interface NativeTasks extends Pick<NativeCalls, 'takeParcel'> {
  /**
   * Delivers a task; its end comes as a TASK_RESULT record to `worker`, the calling thread's attachment, and to nobody for -1. `options`, the bytes of doubles: priority, delay, tries, timeout,
   * base of the back-off, its maximum (0: it is fixed), whether it has jitter, index of the queue, number of the worker or -1, flags (1 `finish`, 2 `failed`,
   * 4 durable). The id of the task, or: -1 there are as many as may be, -2 they have as many bytes, -3 the server stops, -4 too many wait for the task of this
   * key, -5 no such queue, -6 these are no options, -7 there is never such a worker.
   */
  submitTask(server: number, worker: number, name: string, options: Uint8Array, input: Uint8Array | null, key: string | null): number
  /** A number for tasks of this name, these options and this key, on this thread; below 0 when these are no options. */
  prepareTask(name: string, options: Uint8Array, key: string | null): number
  /** As {@link submitTask}, of what was prepared. */
  submitPrepared(server: number, worker: number, task: number, input: Uint8Array): number
  /** 0 there is none of that id, 1 it does not begin any more, 2 it runs, and is told. */
  cancelTask(server: number, id: number): number
  /** 0 it is over or never was, 1 it waits for a worker, 2 for its time, 3 it runs. */
  taskStatus(server: number, id: number): number
  /** JSON `{ queues: [{ name, waiting, delayed, running, done, failed }], failed: [{ id, name, queue, attempts, end, error, failedAt }] }`. */
  taskList(server: number): string
  /** Delivers a failed task again. False when there is none of that id. */
  retryTask(server: number, id: number): boolean
  /** Forgets a failed task. False when there is none of that id. */
  forgetTask(server: number, id: number): boolean
}

/** The shared timers, for every thread of a server. */
export interface NativeTimers {
  /** Calls `task` with `input` in `ms`, with `repeats` every `ms`. 1 it is set, 0 there is one of that name, -1 there are as many as there may be, -2 the input is too long, -3 there is never such a worker. `options`: those of `submitTask`. */
  setTimer(server: number, name: string, task: string, input: Uint8Array, ms: number, repeats: boolean, options?: Uint8Array): number
  clearTimer(server: number, name: string): boolean
  /** How many there were. */
  clearTimers(server: number): number
  hasTimer(server: number, name: string): boolean
  /** JSON `{ next, interval, count }`, or null when there is none of that name. */
  timerInfo(server: number, name: string): string | null
  timerNames(server: number): string[]
}

/** What every thread may ask and do about all connections of a server. `worker` is the calling thread's attachment, -1 where there is none. */
export interface NativePush {
  /**
   * To all members of a channel. How many that were when it was called. `kind` as in `send`; `flags`: slow policy (0 queue, 1 drop, 2 latest,
   * 3 close) | 4 retain; `except`: the id of a connection that gets nothing, or 0.
   */
  publish(server: number, worker: number, channelKind: number, name: string, data: string | Uint8Array, kind: number, flags: number, except: number): number
  /** To all WebSockets that fit. `options`: JSON `{ port?: number, uids?: string[], group?: string, except?: number[] }`. */
  broadcast(server: number, worker: number, options: string, data: string | Uint8Array, kind: number, flags: number): number
  /** As `send`, by id. */
  pushTo(server: number, worker: number, id: number, data: string | Uint8Array, kind: number): number
  /** `terminate`: without a closing handshake. False when there is no such connection. */
  closeById(server: number, worker: number, id: number, code: number, reason: string, terminate: boolean): boolean
  /** `target`: JSON `{ id?: number, uid?: string, group?: string }`. How many were asked to close. */
  kick(server: number, worker: number, target: string, code: number, reason: string): number
  /** By UDP port `port` to an IP address and port, or to the path of a unix socket. False when it is no such port, cannot reach the address, or the packet is too large. */
  sendTo(server: number, worker: number, port: number, address: string, udpPort: number, data: string | Uint8Array): boolean
  bindUidById(server: number, id: number, uid: string | null): boolean
  /** JSON of `ConnectionInfo`, or null when there is no such connection. */
  connectionById(server: number, worker: number, id: number): string | null
  /** 0 none, 2 an open WebSocket, 3 an open event stream, 4 one that is closing. */
  connectionKind(server: number, id: number): number
  /** At most `limit` ids above `after`, ascending. `port` -1 = all. */
  connectionIds(server: number, port: number, after: number, limit: number): Float64Array
  connectionCount(server: number, port: number): number
  channelSize(server: number, kind: number, name: string): number
  /** Accepts nothing more on a port, or accepts again. False when there is no such port. */
  pauseAccept(server: number, port: number, pause: boolean): boolean
  /** JSON of `PortStats`; null when there is no such port. */
  portStats(server: number, port: number): string | null
}

/** What reaches a thread later, and the locks of the process. Any thread. */
export interface NativeWaits {
  /** Opens the calling thread's mailbox: `wake` is called, coalesced, when {@link takeMail} has something. Does not keep the event loop alive. Idempotent: the first `wake` stays. */
  openMailbox(thread: number, wake: () => void): void
  /** Whether what is waited for keeps the calling thread's event loop alive. */
  holdMailbox(yes: boolean): void
  /** Ticket and value by turns, oldest first. */
  takeMail(): Float64Array
  /**
   * The ticket, which is also the fence; below 0 that of a request that waits, to which mail with its fence follows; 0 when it may not wait
   * and would have to; NaN when a limit is reached. Needs an open mailbox. All tickets of a thread end with it.
   */
  lockAcquire(name: string, shared: boolean, mayWait: boolean): number
  /** Gives a lock back, or leaves the line; mail may be on its way. False when that was done before. */
  lockEnd(ticket: number): boolean
  /** The memory of all atomics; it must never reach user code. */
  atomicMemory(): ArrayBuffer
  /** Where the value of a name is in that memory, in bytes; the first to ask makes it, with `initial`. -1 a name that is empty or longer than 64 bytes, -2 it is of the other kind, -3 no room. `long`: 64 bits. */
  atomicCell(name: string, long: boolean, initial: bigint): number
  /** A ticket, to which mail follows when it is woken; 0 when the value is another; NaN when too many wait. Needs an open mailbox. */
  atomicWait(offset: number, expected: number): number
  /** Wakes those who have waited longest; how many. */
  atomicWake(offset: number, count: number): number
  /** Waits no longer. False when it was woken already: its mail is on its way. */
  atomicCancel(offset: number, ticket: number): boolean
}

/** Caches and rate limits of the process. Any thread. */
export interface NativeStores {
  /** The number of the cache of a name, which is made unless it is there, and keeps to `maxBytes` from now on. -1: there are too many. */
  openCache(name: string, maxBytes: number): number
  /** JSON `{ size, bytes, maxBytes, entryBytesMax, hits, misses, evicted, expired }`. */
  cacheStats(cache: number): string
  cacheClear(cache: number): void
  /** The text or the bytes that are kept; undefined when there is nothing. */
  cacheGet(cache: number, key: string): string | Buffer | undefined
  /** Keeps for `ttl` milliseconds, below 0 for ever. 0, or how many bytes the entry would take when that is too much. */
  cacheSet(cache: number, key: string, data: string | Uint8Array, ttl: number): number
  cacheDelete(cache: number, key: string): boolean
  cacheHas(cache: number, key: string): boolean
  /** The number of the rate limit of a name with these figures; those of one name and as many `keys` share their buckets. `intervalNs`: one token comes back in so many. -1: there are too many. */
  openRateLimit(name: string, intervalNs: number, burst: number, keys: number): number
  /** Tokens left × 2³³ when they were taken; when not, -(tokens left × 2³³ + milliseconds to wait). NaN: the key is empty or longer than 255 bytes. */
  rateTake(limit: number, key: string, n: number): number
}

/** What the core tells the master. */
export type Notice =
  /** Nothing is in this draining worker's hands any more. */
  | { type: 'drained'; slot: number }
  /** Work waits and the worker has not moved for `stuckAfter`. The core has written it off: its requests are already handed over. */
  | { type: 'stuck'; slot: number; ms: number }
  /** The worker detached or died, and its exchanges are settled. */
  | { type: 'gone'; slot: number; inflight: number; replayed: number; refused: number }
  /** After {@link NativeServer.stopServer}: no connection is left. */
  | { type: 'stopped' }
  /** After {@link NativeServer.finishTasks}. */
  | { type: 'tasksDone' }
  /** The certificates of a port were read; with `error` it goes on with those it had. */
  | { type: 'certificates'; port: string; error?: string; warnings: string[] }
  /** The cron worker has died while this job ran. */
  | { type: 'cronLost'; name: string }
  /** Durable tasks are not stored, or not all of those that were can be read. */
  | { type: 'journal'; message: string }
  /** A listener cannot be used; its port accepts nothing. */
  | { type: 'failed'; message: string }

/** The loader's exports: what `index.d.ts` lists, and the hot calls, plain Node-API functions that it does not list, in an object. */
const binding = loadBinding() as NativeServer & NativeWorker & NativePush & NativeWaits & NativeStores & NativeTimers & NativeTasks & NativeCron & NativeTables & { workerCalls(): NativeWorker }

/** Every call but those of tables. */
export type Native = NativeServer & NativeWorker & NativePush & NativeWaits & NativeStores & NativeTimers & NativeTasks & NativeCron

/** What stands in for calls, in every copy of this module that the process has. */
const KEY: unique symbol = Symbol.for('sluice.native') as never
const holder = globalThis as typeof globalThis & { [KEY]?: Partial<Native> & Partial<NativeTables> }

export const native: Native = { ...binding, ...binding.workerCalls(), ...holder[KEY] }

/** What concerns tables; the calls of one table come with it. */
export const nativeTables: NativeTables = { ...binding, ...holder[KEY] }

/** Makes others of these calls, in a process whose server is another process. Before code of the application is imported. */
export function replaceNative(calls: Partial<Native> & Partial<NativeTables>): void {
  holder[KEY] = { ...holder[KEY], ...calls }
  Object.assign(native, calls)
  Object.assign(nativeTables, calls)
}
