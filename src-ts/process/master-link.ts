import type { MessagePort, Transferable } from 'node:worker_threads'

import { sluiceError } from '../errors.ts'
import { Deferred } from './deferred.ts'
import { fromRecord } from './error-record.ts'
import { notCloneable, parseMasterMessage, type Call, type CallResult, type MasterMessage, type Receiver, type WorkerMessage } from './messages.ts'

/** Calls to the master that wait for their answer. More at once are a loop gone wild. */
const CALLS_MAX = 1_024
/** Messages read before the master is told that it may send more. */
const READ_EVERY = 128

/** A worker's line to the master. */
export class MasterLink {
  readonly #port: MessagePort
  readonly #calls = new Map<number, Deferred<CallResult | undefined>>()
  #lastCall = 0
  #unreported = 0

  constructor(port: MessagePort) {
    this.#port = port
  }

  /** Begins to read. The open line keeps the thread alive, whatever the application does. */
  open(receive: (message: Exclude<MasterMessage, { type: 'reply' }>) => void): void {
    this.#port.on('message', (value) => {
      const message = parseMasterMessage(value)
      if (message === undefined) return
      if (message.type === 'reply') {
        const { id, error, result } = message
        const call = this.#calls.get(id)
        this.#calls.delete(id)
        if (error) call?.reject(fromRecord(error))
        else call?.resolve(result)
        return
      }
      if (message.type === 'message') this.#countRead()
      receive(message)
    })
  }

  tell(message: Exclude<WorkerMessage, { type: 'message' | 'call' }>): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
    this.#port.postMessage(message)
  }

  /** @throws ERR_SLUICE_INVALID_ARG when `data` cannot be cloned */
  send(to: Receiver, data: unknown, transfer: readonly ArrayBuffer[]): void {
    try {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
      this.#port.postMessage({ type: 'message', to, data } satisfies WorkerMessage, transfer as readonly Transferable[])
    } catch (cause) {
      throw notCloneable(cause)
    }
  }

  /** Has the master do something. Rejects with the master's error. */
  call(call: Call): Promise<CallResult | undefined> {
    if (this.#calls.size >= CALLS_MAX) return Promise.reject(sluiceError('ERR_SLUICE_INVALID_STATE', `${CALLS_MAX} calls to the master are unanswered`))
    const answer = new Deferred<CallResult | undefined>()
    this.#lastCall += 1
    this.#calls.set(this.#lastCall, answer)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
    this.#port.postMessage({ type: 'call', id: this.#lastCall, ...call } satisfies WorkerMessage)
    return answer.promise
  }

  #countRead(): void {
    this.#unreported += 1
    if (this.#unreported < READ_EVERY) return
    this.tell({ type: 'read', count: this.#unreported })
    this.#unreported = 0
  }
}
