import { readSync, writeSync } from 'node:fs'

import { sluiceError } from '../../errors.ts'
import { fromRecord, parseErrorRecord } from '../error-record.ts'
import { CALLS_FD } from './child-line.ts'
import { frameLength, fromBody, toFrame } from './frames.ts'

const HEAD_BYTES = 4

/**
 * Calls of a process of its own whose answers it waits for, as those of a thread are answered at once: the process does nothing else until the master's event
 * loop has come to it, some tens of microseconds. The master never waits for a process, so nobody waits for each other.
 */
export class SyncCalls {
  #isBroken = false

  /** @throws ERR_SLUICE_NOT_RUNNING when there is no master any more; what the call throws there */
  call(method: string, args: readonly unknown[]): unknown {
    const frame = toFrame([method, args])
    if (this.#isBroken) throw gone()
    let answer: unknown
    try {
      for (let at = 0; at < frame.length; ) at += writeSync(CALLS_FD, frame, at)
      answer = fromBody(read(frameLength(read(HEAD_BYTES))))
    } catch (cause) {
      this.#isBroken = true
      throw gone(cause)
    }
    const { error, value } = answer as { readonly error?: unknown; readonly value?: unknown }
    const record = parseErrorRecord(error)
    if (record !== undefined) throw fromRecord(record)
    return value
  }
}

function read(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; ) {
    const count = readSync(CALLS_FD, bytes, at, length - at, null)
    if (count === 0) throw new Error('The line to the master has ended')
    at += count
  }
  return bytes
}

function gone(cause?: unknown): Error {
  return sluiceError('ERR_SLUICE_NOT_RUNNING', 'The server of this process has ended', { cause })
}
