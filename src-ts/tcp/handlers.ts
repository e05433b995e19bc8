import type { CommonHandlers } from '../connection/handlers.ts'
import { sluiceTypeError } from '../errors.ts'
import type { TcpConn } from './connection.ts'

type Awaitable<T> = T | Promise<T>

/**
 * What an app does with the connections of a TCP port. The handlers of one connection run one after the other: while one that
 * returned a promise is pending, nothing else of its connection is handled and, when enough waits, read.
 *
 * What a handler throws goes to `error`, or else to the server's `error` event, and closes the connection.
 */
export interface TcpHandlers<D = unknown, S = unknown> extends CommonHandlers<TcpConn<D, S>> {
  /** Somebody has connected. No data before it has settled; when it throws, the connection is closed. */
  connect?(conn: TcpConn<D, S>): Awaitable<void>
  /** A message as the port's `framing` finds it: bytes of its own (`data.buffer` may hold more than them). */
  data(conn: TcpConn<D, S>, data: Uint8Array): Awaitable<void>
}

/** Handlers of any data and state. */
// oxlint-disable-next-line typescript/no-explicit-any -- each app has types of its own
export type AnyTcpHandlers = TcpHandlers<any, any>

/** Gives `handlers` back; for the types of `conn.data` and `conn.state`. */
export function defineTcp<D = unknown, S = unknown>(handlers: TcpHandlers<D, S>): TcpHandlers<D, S> {
  return handlers
}

const FUNCTIONS = ['connect', 'data', 'adopt', 'close', 'highWater', 'drain', 'error'] as const
const CONCURRENCY_MAX = 65_535

/** Checks what an app has under `ports.NAME` for a TCP port. @throws TypeError ERR_SLUICE_INVALID_ARG naming what is wrong */
export function checkTcpHandlers(value: unknown, name: string): AnyTcpHandlers {
  if (typeof value !== 'object' || value === null) throw wrong(name, 'an object of handlers', value)
  const handlers = value as Record<string, unknown>
  for (const key of FUNCTIONS) {
    const given = handlers[key]
    if (given === undefined && key !== 'data') continue
    if (typeof given !== 'function') throw wrong(`${name}.${key}`, 'a function', given)
  }
  const { concurrency } = handlers
  const isRight = concurrency === undefined || (Number.isInteger(concurrency) && (concurrency as number) >= 1 && (concurrency as number) <= CONCURRENCY_MAX)
  if (!isRight) throw wrong(`${name}.concurrency`, `a whole number from 1 to ${CONCURRENCY_MAX}`, concurrency)
  return value as AnyTcpHandlers
}

function wrong(what: string, expected: string, got: unknown): Error {
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`${what}\` of the app must be ${expected}, got ${typeof got === 'object' ? JSON.stringify(got) : String(got)}`)
}
