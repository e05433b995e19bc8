import { performance } from 'node:perf_hooks'
import { threadId } from 'node:worker_threads'

import type { Board } from './board.ts'
import type { Cancel } from './clock.ts'

/** How often a worker writes its vitals, in milliseconds. */
const EVERY_MS = 1_000

/** Writes this thread's heap and event loop utilization to the board, now and every second. It wakes nobody and keeps nothing alive. */
export function keepVitals(board: Board, slot: number): Cancel {
  let last = performance.eventLoopUtilization()
  let heapUsed = 0
  const write = (): void => {
    const now = performance.eventLoopUtilization()
    heapUsed = readHeapUsed() ?? heapUsed
    board.setVitals(slot, threadId, heapUsed, performance.eventLoopUtilization(now, last).utilization)
    last = now
  }
  write()
  const timer = setInterval(write, EVERY_MS).unref()
  return () => clearInterval(timer)
}

/** Bytes; undefined when the process has no file descriptor left, which `memoryUsage()` needs. `node:v8` would not, but costs every start a module. */
function readHeapUsed(): number | undefined {
  try {
    return process.memoryUsage().heapUsed
  } catch {
    return undefined
  }
}
