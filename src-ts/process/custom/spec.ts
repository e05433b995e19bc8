/** Custom processes: what a user may write, and what a process sees of its server. `docs/reference/processes.md` describes them. */
import type { Duplex } from 'node:stream'
import type { Awaitable, Cloneable, Server } from '../api.ts'
import type { Bytes } from '../../websocket/payload.ts'

/** What a process is: a thread of the server, a Node.js process of its own, or any program. */
export type ProcessKind = 'thread' | 'process' | 'command'

/** Why a process has to go: its code is replaced, or the server stops. */
export type ProcessLeave = 'reload' | 'stop'

/** Who takes the entries of a queue. */
export type QueueMode = 'balance' | 'orient'

/** What goes through a pipe: nothing, bytes, or messages. */
export type PipeKind = 'none' | 'stream' | 'datagram'

interface CommonSpec {
  /** How many of it run, 1 to 64; more than one are named `test0`, `test1`, … @default 1 */
  instances?: number | undefined
  /** False: it is not started. @default true */
  enable?: boolean | undefined
  /** Until it is started again when it has ended, in milliseconds; doubled with every failure in a row, up to a minute. @default 5000 */
  restartInterval?: number | undefined
  /** Restarts in a row, without 30 s of running between them, after which it is left alone; 0 = it runs once. @default undefined no bound */
  maxRestarts?: number | undefined
  /** Its queue. `true`: as without. */
  queue?:
    | true
    | {
        /** Entries that wait, in each queue, 1 to 1 000 000. @default 8192 */
        capacity?: number | undefined
        /** `'balance'`: all instances take from one queue; `'orient'`: each has its own, and who pushes names the instance. @default 'balance' */
        mode?: QueueMode | undefined
      }
    | undefined
}

interface ModuleSpec extends CommonSpec {
  /** What goes through its pipe, both ways. `'stream'`: bytes, of which any number is read at once; `'datagram'`: messages, each read as it was written; `'none'`: nothing. @default 'datagram' */
  pipe?: PipeKind | undefined
  /** A process that is running and whose event loop does not turn for this long is ended and started again, milliseconds; false = it may compute as long as it likes. @default `stuckAfter` of the server, 10_000 */
  stuckAfter?: number | false | undefined
  /** A module, a path from `root` or a `file:` URL: its default export is run, its exports `onReload` and `onStop` are the hooks. */
  file?: string | URL | undefined
  /** What it does, instead of `file`; only in a configuration file, which the process imports. */
  run?(ctx: ProcessContext): Awaitable<void>
  /** The code is replaced: `ctx.signal` is aborted, and what this returns is waited for. */
  onReload?(ctx: ProcessContext): Awaitable<void>
  /** The server stops, or somebody restarts the process: as `onReload`. */
  onStop?(ctx: ProcessContext): Awaitable<void>
}

/** A process on a thread of the server. */
export interface ThreadSpec extends ModuleSpec {
  kind?: 'thread' | undefined
}

/** A process that is a Node.js process of its own. */
export interface ChildSpec extends ModuleSpec {
  kind: 'process'
}

/** A program that the server starts and keeps running. */
export interface CommandSpec extends CommonSpec {
  kind?: 'command' | undefined
  /** The program and its arguments; no shell is asked. */
  command: readonly [program: string, ...args: string[]]
  /** Its input, and with `redirect` its output. `'none'`: its input is empty, and nothing can be written to it. @default 'stream' */
  pipe?: Exclude<PipeKind, 'datagram'> | undefined
  /** Its output goes to those who read `server.process(name)`, not to the log. @default false */
  redirect?: boolean | undefined
}

/** One custom process of the configuration. */
export type ProcessSpec = ThreadSpec | ChildSpec | CommandSpec

/** Gives `spec` back; for the types of its functions. As the default export of a `file`, its functions are those of the process. */
export function defineProcess<const T extends ProcessSpec>(spec: T): T {
  return spec
}

/** What a process gets. */
export interface ProcessContext {
  /** The same in a thread and in a process of its own; `docs/reference/processes.md` lists the exceptions. */
  readonly server: Server
  /** The instance's: `test`, or `test0` where there are several. */
  readonly name: string
  /** Its number among the instances. */
  readonly index: number
  /** Aborted when it has to go; `reason` is a {@link ProcessLeave}. */
  readonly signal: AbortSignal
  /** Messages between this process and those who have its handle. */
  readonly pipe: ProcessPipe
  /** The queue of all instances of this process, or its own: `queue.mode`. */
  readonly queue: ProcessQueue
  /** Answers `server.process(name).request(data)` from now on. What it throws or rejects with is the caller's error. */
  onRequest(handler: (data: Cloneable) => unknown): void
}

/** Messages from one end to the other: in order, each read once. Read to the end, it ends when this side has to go. */
export interface ProcessPipe extends AsyncIterable<Cloneable> {
  /** Resolves when the message waits at the other end; of a stream it must be text or bytes. @throws ERR_SLUICE_PROCESS_FULL when as many as can be wait there; ERR_SLUICE_INVALID_STATE for `pipe: 'none'` */
  write(data: Cloneable): Promise<void>
  /** The next message; undefined when none comes any more. Rejects with the signal's reason when that aborts. */
  read(options?: { signal?: AbortSignal }): Promise<Cloneable | undefined>
  /**
   * This end as a stream of Node.js, made once: of bytes, or of messages (`objectMode`; null is none of them). Who writes waits for room instead of an error.
   * What it reads nobody else does. It ends as {@link read} does; its `end()` ends the input of a command, and says nothing to another process.
   * @throws ERR_SLUICE_INVALID_STATE for `pipe: 'none'`
   */
  readonly duplex: Duplex
}

/** Entries for whoever takes them first: pushed by any thread, popped by any instance, or by one alone (`queue.mode`). */
export interface ProcessQueue {
  /** False: it is full. */
  push(data: Cloneable): Promise<boolean>
  /** The oldest entry, as soon as there is one. Rejects with the signal's reason when that aborts. */
  pop(options?: { signal?: AbortSignal }): Promise<Cloneable>
  /** Entries that wait. */
  length(): Promise<number>
}

/** One instance of a custom process, from any thread of the server. */
export interface ProcessHandle extends ProcessPipe {
  readonly name: string
  readonly queue: ProcessQueue
  /** To a command, its input, as text or bytes. @inheritdoc */
  write(data: Cloneable | Bytes): Promise<void>
  /**
   * What the process answers with its `ctx.onRequest()`. A process that starts, or is started again, is waited for. `timeout` in milliseconds. @default 30_000
   * @throws ERR_SLUICE_PROCESS_GONE when it ended before the answer or will not be started again, ERR_SLUICE_PROCESS_TIMEOUT,
   * ERR_SLUICE_PROCESS_FULL with 1024 requests open, what its handler threw
   */
  request(data: Cloneable, options?: { timeout?: number }): Promise<Cloneable>
  /** Ends it as a stop of the server would, and starts it again, also one that is left alone. Resolves when it runs, or has failed to. Rejects with ERR_SLUICE_SHUTTING_DOWN. */
  restart(): Promise<void>
  /** The number of the operating system's process, that of the server for a thread; undefined while it does not run. */
  pid(): Promise<number | undefined>
  info(): Promise<ProcessInfo>
}

/** How one instance is. */
export interface ProcessInfo {
  readonly name: string
  readonly kind: ProcessKind
  /** Its number in the server, after those of all workers: `postMessage(id, …)`, `stopWorker(id)`. */
  readonly id: number
  readonly pid: number | undefined
  /** `waiting`: for its restart; `ended`: it is left alone, because it is disabled or was started again as often as it may be. */
  readonly status: 'starting' | 'running' | 'waiting' | 'stopping' | 'ended'
  /** How often it was started again because it had ended. */
  readonly restarts: number
  /** How often its event loop did not turn any more. */
  readonly stuck: number
  /** When it began to run, milliseconds since the epoch; undefined while it does not. */
  readonly since: number | undefined
}

/** A process ended without being asked to. */
export interface ProcessErrorEvent {
  readonly process: ProcessInfo
  /** `exit` with an `exitCode` of 0: it came to its end. `signal`: it was killed. `stuck`: its event loop did not turn any more, or it was asked to go and did not in time. */
  readonly reason: 'exit' | 'throw' | 'reject' | 'oom' | 'stuck' | 'signal' | 'start-failed'
  readonly exitCode: number
  /** What killed it, where something did: `SIGKILL`. */
  readonly signal: string | undefined
  readonly error: Error | undefined
  /** Milliseconds until it is started again, 0 of one that was asked to go to be started again; undefined when it is left alone. */
  readonly restartIn: number | undefined
}

/** A line that a process has written. */
export interface ProcessOutput {
  readonly process: string
  readonly stream: 'stdout' | 'stderr'
  /** Without its end. Longer ones are cut after 64 KiB. */
  readonly line: string
}

/** A {@link ProcessSpec} with every member. */
export interface ResolvedProcess {
  readonly kind: ProcessKind
  /** As it was given; a URL as text. */
  readonly file: string | undefined
  readonly run: ((ctx: never) => unknown) | undefined
  readonly onReload: ((ctx: never) => unknown) | undefined
  readonly onStop: ((ctx: never) => unknown) | undefined
  readonly command: readonly string[] | undefined
  readonly redirect: boolean
  readonly instances: number
  readonly enable: boolean
  readonly restartInterval: number
  readonly maxRestarts: number | undefined
  /** 0 = off. */
  readonly stuckAfter: number
  readonly pipe: PipeKind
  readonly queue: { readonly capacity: number; readonly mode: QueueMode }
}
