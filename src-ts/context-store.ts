import { AsyncLocalStorage } from 'node:async_hooks'
import type { Context } from './context.ts'
import { sluiceError } from './errors.ts'

/**
 * Where {@link context} finds the request. The store makes every promise of the thread dearer, so there is none until an
 * app wants one; before that only the running handler call is known.
 */
export const scope: {
  store: AsyncLocalStorage<Context | undefined> | null
  /** The context of the handler call that runs now, before its first await. */
  current: Context | null
  /** The store was made inside a handler call and holds its context. */
  isEntered: boolean
} = { store: null, current: null, isEntered: false }

/**
 * From now on `context()` works everywhere in a handler, behind every await. Calling `context()` or `scoped()` does it, too;
 * only an app whose first `context()` of all stands behind an await must call this when it loads. Idempotent.
 */
export function enableContextStore(): void {
  if (scope.store !== null) return
  scope.store = new AsyncLocalStorage()
  if (scope.current === null) return
  // The running handler was not called in the store; what it starts from here on is.
  scope.store.enterWith(scope.current)
  scope.isEntered = true
}

/** Ends what {@link enableContextStore} began in the middle of a handler call. */
export function leaveEntered(): void {
  scope.isEntered = false
  scope.store?.enterWith(undefined)
}

/** Calls `fn` so that `context()` in it, and behind every await of it, gives `context`. */
export function runInContext<T>(context: Context, fn: () => T): T {
  scope.current = context
  try {
    return scope.store === null ? fn() : scope.store.run(context, fn)
  } finally {
    scope.current = null
    if (scope.isEntered) leaveEntered()
  }
}

/**
 * The context of the request whose handler is running, wherever it was called from.
 *
 * @throws ERR_SLUICE_INVALID_STATE outside a request
 */
export function context(): Context {
  const wasEnabled = scope.store !== null
  enableContextStore()
  const found = scope.store?.getStore()
  if (found !== undefined) return found
  throw sluiceError(
    'ERR_SLUICE_INVALID_STATE',
    wasEnabled
      ? 'context() was called outside a request'
      : 'context() was called outside a request, or for the first time behind an await; call enableContextStore() when the app loads',
  )
}

/**
 * A value made once per request, when it is first asked for: `const db = scoped(() => pool.checkout())`, then `db()`.
 *
 * The function it gives throws ERR_SLUICE_INVALID_STATE outside a request.
 */
export function scoped<T>(factory: (ctx: Context) => T): () => T {
  enableContextStore()
  const values = new WeakMap<Context, { readonly value: T }>()
  return () => {
    const ctx = context()
    let made = values.get(ctx)
    if (made === undefined) {
      made = { value: factory(ctx) }
      values.set(ctx, made)
    }
    return made.value
  }
}
