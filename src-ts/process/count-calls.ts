import type { NativeCalls } from '../native.ts'
import type { Board } from './board.ts'

/** `native` as it is, but that the calls of tasks are counted on the board: how many this thread has begun, and how many are in its hands. */
export function countCalls<N extends NativeCalls>(native: N, board: Board, slot: number): N {
  const { beginCall, endCall } = native
  return {
    ...native,
    beginCall: (worker: number, id: number) => {
      const begins = beginCall(worker, id)
      if (begins) board.addTasks(slot, 1, 1)
      return begins
    },
    endCall: (worker: number, id: number, outcome: number, bytes: Uint8Array | null, soon: boolean) => {
      board.addTasks(slot, 0, -1)
      return endCall(worker, id, outcome, bytes, soon)
    },
  }
}
