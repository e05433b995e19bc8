import { Socket } from 'node:net'

import { sluiceError } from '../../errors.ts'
import type { Line } from '../master-link.ts'
import { FRAME_BYTES_MAX, FrameReader, toFrame } from './frames.ts'

/** The file descriptors of a process of its own: its line to the master, and that of the calls whose answers it waits for. */
export const LINE_FD = 3
export const CALLS_FD = 4

/** The line of a process of its own to its master. It keeps the process alive. */
export class ChildLine implements Line {
  readonly #socket: Socket

  /** `ended`: there is no master any more. */
  constructor(ended: () => void) {
    this.#socket = new Socket({ fd: LINE_FD, readable: true, writable: true })
    this.#socket.on('error', ended)
    this.#socket.on('close', ended)
  }

  on(_event: 'message', listener: (value: unknown) => void): void {
    const reader = new FrameReader(listener)
    this.#socket.on('data', (chunk: Buffer) => reader.write(chunk))
  }

  /** @throws ERR_SLUICE_INVALID_ARG for what cannot be cloned; ERR_SLUICE_INVALID_STATE when the master does not get round to reading */
  postMessage(message: unknown): void {
    const frame = toFrame(message)
    if (this.#socket.writableLength > FRAME_BYTES_MAX) throw sluiceError('ERR_SLUICE_INVALID_STATE', `${this.#socket.writableLength} bytes for the master are unsent`)
    this.#socket.write(frame)
  }

  /** Settles when all before has been sent, or nothing can be any more. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) resolve()
      else this.#socket.write('', () => resolve())
    })
  }
}
