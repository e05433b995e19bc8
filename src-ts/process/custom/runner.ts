import type { MasterMessage } from '../messages.ts'
import type { ProcessErrorEvent, ProcessLeave } from './spec.ts'

/** How a process ended. */
export type ProcessEnd = Pick<ProcessErrorEvent, 'reason' | 'exitCode' | 'signal' | 'error'>

/** One run of a process, of whatever kind, from its birth to its end. Supervision needs no more than this. */
export interface Runner {
  readonly pid: number | undefined
  /** It runs. Stays pending when it does not come to that. */
  readonly ready: Promise<void>
  /** Never rejects. */
  readonly ended: Promise<ProcessEnd>
  /** Tells it to come to its end within `timeout` milliseconds. */
  stop(reason: ProcessLeave, timeout: number): void
  /** Ends it without asking. */
  kill(): void
  /** Has its event loop answer, `ponged`; of a command there is none. */
  ping?(ponged: () => void): void
  /** It was killed and does not end: what it holds of others is theirs. */
  abandon?(): void
  /** To its code; nothing for a command. */
  post(message: MasterMessage): void
  /** Its input, where it has one that takes bytes. False: it takes no more for now, or any more. */
  input?(data: Uint8Array): boolean
  isInputOpen?(): boolean
  /** Settles when it takes some again, or none any more. */
  inputRead?(): Promise<void>
  /** No more comes. */
  endInput?(): void
}
