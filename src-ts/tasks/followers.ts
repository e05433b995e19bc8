/** Those who wait for a signal: one listener for all of them, as a thousand tasks may be delivered with one signal and Node.js warns from the eleventh listener on. */
const followers = new WeakMap<AbortSignal, Followers>()

interface Followers {
  readonly callbacks: Set<() => void>
  readonly onAbort: () => void
}

/** Calls `callback` when `signal` is aborted. Gives what ends that; with the last one the signal has no listener of ours any more. */
export function follow(signal: AbortSignal, callback: () => void): () => void {
  const { callbacks, onAbort } = followers.get(signal) ?? listen(signal)
  callbacks.add(callback)
  return () => {
    if (!callbacks.delete(callback) || callbacks.size > 0) return
    followers.delete(signal)
    signal.removeEventListener('abort', onAbort)
  }
}

function listen(signal: AbortSignal): Followers {
  const callbacks = new Set<() => void>()
  const onAbort = (): void => {
    for (const callback of callbacks) callback()
  }
  const entry = { callbacks, onAbort }
  followers.set(signal, entry)
  signal.addEventListener('abort', onAbort, { once: true })
  return entry
}
