/**
 * What the master does on which signal:
 *
 * | signal | action |
 * |---|---|
 * | TERM, INT, QUIT | stop gracefully; the process exits with 0 |
 * | a second INT or TERM | stop now; the process exits with 130 or 143 |
 * | USR1 | reload all |
 * | USR2 | reload task workers |
 * | HUP, WINCH | open log files again |
 */
import { constants } from 'node:os'

export interface SignalActions {
  stop(signal: NodeJS.Signals): void
  /** `exitCode` is 128 + the number of the signal, as shells report it. */
  stopNow(signal: NodeJS.Signals, exitCode: number): void
  reload(): void
  reloadTasks(): void
  reopenLogs(): void
}

/** Where signals come from; `process`, or a double of it. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

/**
 * A Ctrl+C under `npm start` arrives twice, once from the terminal and once from npm; what comes this soon, in milliseconds,
 * after the first is the same wish.
 */
export const SAME_WISH_MS = 200

/** Acts on signals until the returned function is called. `now` gives monotonic milliseconds. */
export function handleSignals(actions: SignalActions, source: SignalSource = process, now: () => number = () => performance.now()): () => void {
  let stopAskedAt: number | undefined
  const stop = (signal: NodeJS.Signals): void => {
    if (stopAskedAt === undefined) {
      stopAskedAt = now()
      actions.stop(signal)
    } else if (signal !== 'SIGQUIT' && now() - stopAskedAt >= SAME_WISH_MS) {
      actions.stopNow(signal, 128 + constants.signals[signal])
    }
  }
  const listeners: [NodeJS.Signals, (signal: NodeJS.Signals) => void][] = [
    ['SIGTERM', stop],
    ['SIGINT', stop],
    ['SIGQUIT', stop],
    ['SIGUSR1', () => actions.reload()],
    ['SIGUSR2', () => actions.reloadTasks()],
    ['SIGHUP', () => actions.reopenLogs()],
    ['SIGWINCH', () => actions.reopenLogs()],
  ]
  for (const [signal, listener] of listeners) source.on(signal, listener)
  return () => {
    for (const [signal, listener] of listeners) source.off(signal, listener)
  }
}
