/**
 * The addon's contract. The one module that loads it.
 *
 * Master calls name a server by the number `startServer` gave; worker calls name an attachment by the
 * number in {@link WorkerMemory.worker}, which is local to the calling thread.
 */
import { loadBinding } from './load-binding.ts'

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
  /** JSON: `{ ports: [{ name, host?, port?, path? }], reactors }`. */
  serverInfo(server: number): string
  /** Starts accepting connections; call it when the first worker is active. */
  acceptConnections(server: number): void
  /** `wake` is called (coalesced) when {@link takeNotices} has something. Keeps the calling thread's loop alive until {@link releaseServer}. */
  attachMaster(server: number, wake: () => void): void
  /** JSON array of {@link Notice}, oldest first, or null when there is none. */
  takeNotices(server: number): string | null
  /** Reserves a slot for a worker thread that is about to start. */
  createWorker(server: number): number
  /** Lets the dispatcher choose this worker, which has attached. `home` is its logical number: a successor has the same, and sticky requests stay with it. */
  activateWorker(server: number, slot: number, home: number): void
  /** Takes it out of dispatch. A `drained` notice follows when nothing is in its hands. */
  drainWorker(server: number, slot: number): void
  /** Treats the worker as dead from now on, whether its thread has ended or not. A `gone` notice follows. False when it is gone already. */
  writeOffWorker(server: number, slot: number): boolean
  /** JSON: counters of the whole server, see `ServerStats` in `server.ts`. */
  serverStats(server: number): string
  /** Stops accepting; connections close after their current answers, idle ones after `grace` ms. A `stopped` notice follows when none is left. Idempotent. */
  stopServer(server: number, grace: number): void
  /** Closes what is left at once, ends the reactors and frees the server. Idempotent. */
  releaseServer(server: number): void
  /** Names the calling OS thread (15 bytes), as `top -H` shows it. */
  nameThread(name: string): void
  /** Pins the calling OS thread to one CPU. False where it cannot be done. */
  pinThread(cpu: number): boolean
  /** Every error code that the addon can raise. */
  errorCodes(): string[]
}

/** Worker side, on the thread that attached. The hot ones take primitives only. */
export interface NativeWorker {
  /** Attaches the calling thread to a slot. `wake` is called when a record waits and the worker is parked. */
  attachWorker(server: number, slot: number, wake: () => void): WorkerMemory
  /** Detaches; what is still in this worker's hands is handed over. Also done by the thread's end, however it ends. Idempotent. */
  detachWorker(worker: number): void
  /**
   * Answers an exchange in one go. `meta` = status | template << 16 | flags << 24 (flags as in the command record: 2 CLOSE, 4 HAS_DATE, 8 HAS_SERVER).
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
  /** A listener cannot be used; its port accepts nothing. */
  | { type: 'failed'; message: string }

/** The loader's exports: what `index.d.ts` lists, and the hot calls, plain Node-API functions that it does not list, in an object. */
const binding = loadBinding() as NativeServer & NativeWorker & { workerCalls(): NativeWorker }

export const native: NativeServer & NativeWorker = { ...binding, ...binding.workerCalls() }
