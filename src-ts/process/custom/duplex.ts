import type { Duplex } from 'node:stream'

import { sluiceTypeError } from '../../errors.ts'

/** What a stream does to its pipe. */
export interface DuplexEnds {
  /** Messages instead of bytes. */
  readonly isMessages: boolean
  /** One message in a list, an empty one at the end. Rejects with the signal's reason when that aborts. */
  read(signal: AbortSignal): Promise<readonly unknown[]>
  /** Settles when it is kept. */
  write(data: unknown): Promise<unknown>
  /** No more is written. */
  end(): Promise<unknown>
}

/** A pipe as a stream of Node.js. */
export function duplexOf({ end, isMessages, read, write }: DuplexEnds): Duplex {
  const leaving = new AbortController()
  // Loaded with the first: a worker without any starts without it.
  const { Duplex: NodeDuplex } = process.getBuiltinModule('node:stream')
  return new NodeDuplex({
    objectMode: isMessages,
    // One message waits here at most; the others where they have their bound.
    ...(isMessages && { highWaterMark: 1 }),
    decodeStrings: false,
    read() {
      read(leaving.signal).then(
        (messages) => {
          const [message] = messages
          if (messages.length === 0) this.push(null)
          else if (message === null || message === undefined) this.destroy(sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The message ${String(message)} cannot be read as a stream, where it is the end`))
          // A copy of ours, which is nobody else's: no need of another one.
          else this.push(isMessages || typeof message === 'string' ? message : bufferOf(message as Uint8Array))
        },
        (error: Error) => {
          if (!leaving.signal.aborted) this.destroy(error)
        },
      )
    },
    write(chunk: unknown, _encoding, done) {
      write(chunk).then(() => done(), done)
    },
    final(done) {
      end().then(() => done(), done)
    },
    destroy(error, done) {
      leaving.abort(error ?? new Error('The stream was closed'))
      done(error)
    },
  })
}

function bufferOf({ buffer, byteLength, byteOffset }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
