/**
 * What master and worker threads say to each other, over a port of their own: user code that listens on
 * `parentPort` neither sees nor sends any of it. Each side parses what arrives once, here, and trusts it from there on.
 */
import { sluiceTypeError } from '../errors.ts'
import type { PortProtocol, ProxyRecord } from '../options.ts'
import type { ContentCoding } from '../http/content-coding.ts'
import type { TableSpec } from '../table/spec.ts'
import type { ReloadResult, ReloadTarget, StartReason, WorkerKind } from './api.ts'
import { parseProcessCall, type ProcessCall } from './custom/calls.ts'
import type { ProcessBoot } from './custom/child-boot.ts'
import type { ProcessName } from './custom/handle.ts'
import { parseErrorRecord, toRecord, type ErrorRecord } from './error-record.ts'

/** Why a worker has to go. */
export type LeaveReason = 'reload' | 'recycle' | 'shutdown'
/** Receivers of `postMessage`. */
export type Receiver = number | 'all' | 'others' | 'main'

export type MasterMessage =
  /** It gets nothing new from now on: tell the application. */
  | { readonly type: 'drain'; readonly reason: LeaveReason }
  /** Finish within `timeout` milliseconds, then end. */
  | { readonly type: 'stop'; readonly timeout: number }
  /** `postMessage` of another thread. */
  | { readonly type: 'message'; readonly from: number | 'main'; readonly data: unknown }
  /** The answer to a {@link WorkerMessage} `call`. `value`: what a call of custom processes gave. */
  | { readonly type: 'reply'; readonly id: number; readonly error: ErrorRecord | undefined; readonly result: CallResult | undefined; readonly value?: unknown }
  /** To a custom process: somebody's request. */
  | { readonly type: 'ask'; readonly id: number; readonly data: unknown }
  /** To a process of its own, the first: a {@link ChildBoot}. */
  | { readonly type: 'boot'; readonly boot: unknown }
  /** To a custom process: does its event loop still turn? `pong` is the answer. */
  | { readonly type: 'ping' }
  /** To a process of its own: what it waited for, a lock or an atomic. */
  | { readonly type: 'mail'; readonly ticket: number; readonly isAtomic: boolean; readonly value: number }
  /** To a process of its own: the core's record about a task that it has delivered. */
  | { readonly type: 'task'; readonly record: Uint8Array }

export type WorkerMessage =
  /** Attached to the core; may be activated. */
  | { readonly type: 'ready' }
  | { readonly type: 'pong' }
  /** The application failed to load, or `workerStart` rejected. The thread is ending. */
  | { readonly type: 'start-failed'; readonly error: ErrorRecord }
  /** An error outside any handler: the thread is ending. */
  | { readonly type: 'fatal'; readonly reason: 'throw' | 'reject'; readonly error: ErrorRecord }
  /** An error that does not end the thread. `more`: how many were left out since the last one. */
  | { readonly type: 'error'; readonly phase: string; readonly task?: string; readonly error: ErrorRecord; readonly more: number }
  /** It was asked to stop and has nothing left to do. */
  | { readonly type: 'stopped' }
  | { readonly type: 'message'; readonly to: Receiver; readonly data: unknown }
  /** `count` messages were read since the last one: the master may send as many more. */
  | { readonly type: 'read'; readonly count: number }
  /** The answer of a custom process to an `ask`. */
  | { readonly type: 'answer'; readonly id: number; readonly error: ErrorRecord | undefined; readonly value: unknown }
  /** A call that only the master can do. */
  | ({ readonly type: 'call'; readonly id: number } & Call)

export type Call =
  | { readonly method: 'reload'; readonly version: string | undefined; readonly only: readonly ReloadTarget[] | undefined }
  | { readonly method: 'stopWorker'; readonly worker: number }
  | { readonly method: 'shutdown'; readonly timeout: number | undefined }
  | { readonly method: 'process'; readonly call: ProcessCall }

/** What `reload` gave; the other calls give nothing. */
export interface CallResult {
  readonly ok: boolean
  readonly rolledBack: boolean
  readonly error: ErrorRecord | undefined
}

/** Everything a worker thread is told at its birth. */
export interface Boot {
  /** The core's number of the server. */
  readonly server: number
  /** The core's slot, reserved for this thread. */
  readonly slot: number
  readonly id: number
  readonly kind: WorkerKind
  readonly name: string
  readonly reason: StartReason
  readonly generation: number
  /** File URL of the application. */
  readonly app: string
  /** File with the configuration, for the hooks in it; undefined when there is none. */
  readonly configFile: string | undefined
  readonly serverName: string
  readonly version: string | undefined
  readonly env: string | undefined
    /** Where relative paths of files start, as of the worker's generation. */
  readonly root: string
  /** How answers are compressed, the preferred coding first. */
  readonly codings: readonly ContentCoding[]
  /** Modules with cron jobs, as `cron.files` has them; only the cron worker imports them. */
  readonly cronFiles: readonly string[]
  /** Whether the codings of request bodies are undone. */
  readonly decodes: boolean
  /** Most fields of a form that is not in parts. */
  readonly formFields: number
  /** CPU to pin the thread to; undefined leaves it to the kernel. */
  readonly cpu: number | undefined
  readonly ports: readonly PortRecord[]
  readonly tables: Readonly<Record<string, TableSpec>>
  /** Modules that are imported beside the app, and the names of the queues in the order of the core. */
  readonly tasks: { readonly files: readonly string[]; readonly queues: readonly string[]; readonly isDurable: boolean }
  /** Shared with every thread of the server, see `board.ts`. */
  readonly board: SharedArrayBuffer
  /** The custom processes. */
  readonly processes: readonly ProcessName[]
  /** Of a custom process: what it is. */
  readonly process?: ProcessBoot
}

/** One bound address, as the core reports it. */
export interface PortRecord {
  readonly name: string
  readonly protocol: PortProtocol
  readonly host: string | undefined
  readonly port: number | undefined
  readonly path: string | undefined
  /** Why it is not bound, for a port that is optional. */
  readonly error: string | undefined
  /** Whether it is encrypted. */
  readonly tls: boolean
  /** Peers that speak for others, where there are any. */
  readonly proxy?: ProxyRecord | undefined
  /** Longest request body that is read as a whole. */
  readonly bodyBytes: number
}

/** What `postMessage` throws for data that structured clone refuses. */
export function notCloneable(cause: unknown): Error {
  // Whoever refused it may have said so.
  if (cause instanceof Error && 'code' in cause && String(cause.code).startsWith('ERR_SLUICE_')) return cause
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'The message cannot be cloned', { cause })
}

/** For a message to the own thread: it never shares memory with its sender either. @throws ERR_SLUICE_INVALID_ARG */
export function cloneMessage(data: unknown, transfer: readonly ArrayBuffer[]): unknown {
  try {
    return structuredClone(data, { transfer: [...transfer] })
  } catch (cause) {
    throw notCloneable(cause)
  }
}

/** Reads a message from the master; undefined when it is none. */
export function parseMasterMessage(value: unknown): MasterMessage | undefined {
  if (!isObject(value)) return undefined
  switch (value['type']) {
    case 'drain': {
      const { reason } = value
      return reason === 'reload' || reason === 'recycle' || reason === 'shutdown' ? { type: 'drain', reason } : undefined
    }
    case 'stop': {
      const { timeout } = value
      return isAmount(timeout) ? { type: 'stop', timeout } : undefined
    }
    case 'message': {
      const { from, data } = value
      return from === 'main' || isIndex(from) ? { type: 'message', from, data } : undefined
    }
    case 'reply': {
      const { id, error, result, value: given } = value
      return isIndex(id) ? { type: 'reply', id, error: parseErrorRecord(error), result: parseCallResult(result), ...(given !== undefined && { value: given }) } : undefined
    }
    case 'ask': {
      const { id, data } = value
      return isIndex(id) ? { type: 'ask', id, data } : undefined
    }
    case 'boot':
      return { type: 'boot', boot: value['boot'] }
    case 'ping':
      return { type: 'ping' }
    case 'mail': {
      const { isAtomic, ticket, value: news } = value
      return isIndex(ticket) && typeof isAtomic === 'boolean' && typeof news === 'number' ? { type: 'mail', ticket, isAtomic, value: news } : undefined
    }
    case 'task': {
      const { record } = value
      return record instanceof Uint8Array ? { type: 'task', record } : undefined
    }
    default:
      return undefined
  }
}

/** Reads a message from a worker; undefined when it is none. */
export function parseWorkerMessage(value: unknown): WorkerMessage | undefined {
  if (!isObject(value)) return undefined
  switch (value['type']) {
    case 'ready':
      return { type: 'ready' }
    case 'pong':
      return { type: 'pong' }
    case 'stopped':
      return { type: 'stopped' }
    case 'start-failed': {
      const error = parseErrorRecord(value['error'])
      return error && { type: 'start-failed', error }
    }
    case 'fatal': {
      const { reason } = value
      const error = parseErrorRecord(value['error'])
      return error && (reason === 'throw' || reason === 'reject') ? { type: 'fatal', reason, error } : undefined
    }
    case 'error': {
      const { phase, more, task } = value
      const error = parseErrorRecord(value['error'])
      return error && typeof phase === 'string' && isIndex(more) ? { type: 'error', phase, ...(typeof task === 'string' && { task }), error, more } : undefined
    }
    case 'message': {
      const { to, data } = value
      return to === 'all' || to === 'others' || to === 'main' || isIndex(to) ? { type: 'message', to, data } : undefined
    }
    case 'read': {
      const { count } = value
      return isIndex(count) ? { type: 'read', count } : undefined
    }
    case 'answer': {
      const { id, error, value: given } = value
      return isIndex(id) ? { type: 'answer', id, error: parseErrorRecord(error), value: given } : undefined
    }
    case 'call': {
      const { id } = value
      const call = parseCall(value)
      return call && isIndex(id) ? { type: 'call', id, ...call } : undefined
    }
    default:
      return undefined
  }
}

/** Makes a {@link ReloadResult} fit to travel. */
export function toCallResult({ ok, rolledBack, error }: ReloadResult): CallResult {
  return { ok, rolledBack, error: error && toRecord(error) }
}

function parseCall(value: Record<string, unknown>): Call | undefined {
  switch (value['method']) {
    case 'reload': {
      const { only, version } = value
      // What `only` names is checked by the master, whose error the caller gets.
      return version === undefined || typeof version === 'string' ? { method: 'reload', version, only: only as readonly ReloadTarget[] | undefined } : undefined
    }
    case 'stopWorker': {
      const { worker } = value
      return isIndex(worker) ? { method: 'stopWorker', worker } : undefined
    }
    case 'shutdown': {
      const { timeout } = value
      return timeout === undefined || isAmount(timeout) ? { method: 'shutdown', timeout } : undefined
    }
    case 'process': {
      const call = parseProcessCall(value['call'])
      return call && { method: 'process', call }
    }
    default:
      return undefined
  }
}

function parseCallResult(value: unknown): CallResult | undefined {
  if (!isObject(value)) return undefined
  const { ok, rolledBack, error } = value
  return typeof ok === 'boolean' && typeof rolledBack === 'boolean' ? { ok, rolledBack, error: parseErrorRecord(error) } : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Milliseconds: not negative, not NaN. */
function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0
}
