import { sluiceTypeError } from '../errors.ts'
import type { NativePush } from '../native.ts'

/** The WebSockets and event streams of a server or of one port. Looked up anew at every call. */
export interface ConnectionSet extends Iterable<number> {
  readonly size: number
  /** Whether one with this id is open. */
  has(id: number): boolean
  /** Ids above `after`, ascending, at most `limit`. @default all */
  list(after?: number, limit?: number): number[]
}

/** Ids asked for at once while iterating: bounds what one step allocates. */
const PAGE = 4_096

/** The connections of one port, or with port -1 of all. */
export class Connections implements ConnectionSet {
  readonly #native: NativePush
  readonly #server: () => number
  readonly #port: number

  constructor(native: NativePush, server: () => number, port: number) {
    this.#native = native
    this.#server = server
    this.#port = port
  }

  get size(): number {
    return this.#native.connectionCount(this.#server(), this.#port)
  }

  has(id: number): boolean {
    const found = this.list(connectionId(id) - 1, 1)
    return found[0] === id
  }

  list(after = 0, limit: number = 0xffffffff): number[] {
    if (!Number.isSafeInteger(after) || after < 0) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`after\` must be a connection id or 0, got ${String(after)}`)
    if (!Number.isInteger(limit) || limit < 0 || limit > 0xffffffff) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`limit\` must be a whole number from 0, got ${String(limit)}`)
    return Array.from(this.#native.connectionIds(this.#server(), this.#port, after, limit))
  }

  /** Every connection that is open from the first step to the last comes once; others may. */
  *[Symbol.iterator](): Iterator<number> {
    for (let page = this.list(0, PAGE); page.length > 0; page = this.list(page.at(-1), PAGE)) yield* page
  }
}

/** @throws TypeError ERR_SLUICE_INVALID_ARG for what is no connection id */
export function connectionId(id: number): number {
  if (Number.isSafeInteger(id) && id > 0) return id
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `A connection id is a whole number from 1, got ${String(id)}`)
}
