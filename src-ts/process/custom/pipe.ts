import type { Duplex } from 'node:stream'

import { sluiceError } from '../../errors.ts'
import { duplexOf } from './duplex.ts'
import type { PipeKind, ProcessPipe } from './spec.ts'

/** What one end of a pipe does by the master. */
export interface PipeCalls {
  /** `waits`: for room, instead of an error. */
  write(data: unknown, waits: boolean): Promise<unknown>
  /** One message in a list, an empty one at the end. */
  take(signal?: AbortSignal): Promise<unknown>
  /** No more is written. */
  end(): Promise<unknown>
}

/** One end of a pipe. `signal` ends the reading of this side. */
export function pipe(kind: PipeKind, calls: PipeCalls, signal?: AbortSignal): ProcessPipe {
  const next = async (options: { signal?: AbortSignal | undefined } = {}): Promise<readonly unknown[]> => {
    options.signal?.throwIfAborted()
    if (signal?.aborted) return []
    const both = either(options.signal, signal)
    try {
      return (await calls.take(both.signal)) as readonly unknown[]
    } catch (error) {
      if (signal?.aborted && !options.signal?.aborted) return []
      throw error
    } finally {
      both.forget()
    }
  }
  let duplex: Duplex | undefined
  return {
    write: async (data) => void (await calls.write(data, false)),
    read: async (options) => (await next(options))[0],
    get duplex() {
      if (kind === 'none') throw sluiceError('ERR_SLUICE_INVALID_STATE', "This process has no pipe: `pipe: 'none'`")
      duplex ??= duplexOf({ isMessages: kind === 'datagram', read: (gone) => next({ signal: gone }), write: (data) => calls.write(data, true), end: () => calls.end() })
      return duplex
    },
    async *[Symbol.asyncIterator]() {
      for (let messages = await next(); messages.length > 0; messages = await next()) yield messages[0]
    },
  }
}

/** A signal that aborts with the first of two. Not `AbortSignal.any()`, which a signal that lives as long as the process remembers for ever in Node.js 20. */
function either(one: AbortSignal | undefined, other: AbortSignal | undefined): { readonly signal: AbortSignal | undefined; forget(): void } {
  if (one === undefined || other === undefined || one === other) return { signal: one ?? other, forget: () => {} }
  const both = new AbortController()
  const onOne = (): void => both.abort(one.reason)
  const onOther = (): void => both.abort(other.reason)
  one.addEventListener('abort', onOne, { once: true })
  other.addEventListener('abort', onOther, { once: true })
  return {
    signal: both.signal,
    forget: () => {
      one.removeEventListener('abort', onOne)
      other.removeEventListener('abort', onOther)
    },
  }
}
