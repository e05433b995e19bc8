import { createConnection, type Socket } from 'node:net'
import { sluiceError } from '../errors.ts'
import { linesOf, socketAddress, type ControlMethod } from '../process/control.ts'

/** A connection to the control socket of a running server. One call at a time. */
export class ControlClient {
  readonly #socket: Socket
  readonly #lines: AsyncGenerator<string>
  /** Settles when the server has closed the connection, at the latest with its process. */
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#lines = linesOf(socket)
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  /** @throws ERR_SLUICE_NOT_RUNNING when nobody answers at that path */
  static async connect(path: string): Promise<ControlClient> {
    const address = socketAddress(path)
    try {
      return await new Promise((resolve, reject) => {
        const socket = createConnection(address.path)
        socket.once('error', reject)
        socket.once('connect', () => {
          // From here on a failure shows as the end of the connection.
          socket.off('error', reject).on('error', () => {})
          resolve(new ControlClient(socket))
        })
      })
    } catch (cause) {
      throw sluiceError('ERR_SLUICE_NOT_RUNNING', `No server answers at ${path}`, { cause })
    } finally {
      address.release()
    }
  }

  /**
   * Calls a method of the server; rejects with what it answered as an error.
   * @throws ERR_SLUICE_NOT_RUNNING when the server ends, or gives no answer within `timeout` milliseconds
   */
  async call(method: ControlMethod, params?: unknown, timeout?: number): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ id: 1, method, params })}\n`)
    const timer = timeout === undefined ? undefined : setTimeout(() => this.close(), timeout)
    const line = await this.#lines.next().catch(() => ({ done: true as const, value: undefined }))
    clearTimeout(timer)
    if (line.done) throw sluiceError('ERR_SLUICE_NOT_RUNNING', `The server gave no answer to ${method}`)
    const answer: unknown = JSON.parse(line.value)
    if (typeof answer === 'object' && answer !== null && 'result' in answer) return answer.result
    throw faultOf(answer)
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** An error that crossed the socket: its code is kept, as the code is the contract. */
function faultOf(answer: unknown): Error {
  const fault = (answer as { error?: { message?: unknown; code?: unknown } } | null)?.error
  return Object.assign(new Error(String(fault?.message ?? 'The server gave no usable answer')), fault?.code === undefined ? {} : { code: String(fault.code) })
}
