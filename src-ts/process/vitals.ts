import { performance } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { threadId } from 'node:worker_threads'

import type { Board } from './board.ts'
import type { Cancel } from './clock.ts'

/** How often a worker writes its vitals, in milliseconds. */
const EVERY_MS = 1_000

/** Writes this thread's heap and event loop utilization to the board, now and every second. It wakes nobody and keeps nothing alive. */
export function keepVitals(board: Board, slot: number): Cancel {
  let last = performance.eventLoopUtilization()
  const write = (): void => {
    // Not process.memoryUsage(): that opens a file, and throws when the process has no descriptor left.
    const now = performance.eventLoopUtilization()
    board.setVitals(slot, threadId, getHeapStatistics().used_heap_size, performance.eventLoopUtilization(now, last).utilization)
    last = now
  }
  write()
  const timer = setInterval(write, EVERY_MS).unref()
  return () => clearInterval(timer)
}
