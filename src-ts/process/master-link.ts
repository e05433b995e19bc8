import type { MessagePort, Transferable } from 'node:worker_threads'

import { sluiceError } from '../errors.ts'
import type { ProcessCall } from './custom/calls.ts'
import { Deferred } from './deferred.ts'
import { fromRecord } from './error-record.ts'
import { notCloneable, parseMasterMessage, type Call, type CallResult, type MasterMessage, type Receiver, type WorkerMessage } from './messages.ts'

/** Calls to the master that wait for their answer. More at once are a loop gone wild. */
const CALLS_MAX = 1_024
/** Messages read before the master is told that it may send more. */
const READ_EVERY = 128

/** What the master is reached by: a port, or the line of a process of its own. */
export type Line = Pick<MessagePort, 'postMessage'> & { on(event: 'message', listener: (value: unknown) => void): unknown }

interface Answer {
  readonly result: CallResult | undefined
  readonly value: unknown
}

/** A worker's line to the master. */
export class MasterLink {
  readonly #port: Line
  readonly #calls = new Map<number, Deferred<Answer>>()
  #lastCall = 0
  #unreported = 0

  constructor(port: Line) {
    this.#port = port
  }

  /** Begins to read. The open line keeps the thread alive, whatever the application does. */
  open(receive: (message: Exclude<MasterMessage, { type: 'reply' | 'ping' }>) => void): void {
    this.#port.on('message', (value) => {
      const message = parseMasterMessage(value)
      if (message === undefined) return
      if (message.type === 'reply') {
        const { id, error, result, value } = message
        const call = this.#calls.get(id)
        this.#calls.delete(id)
        if (error) call?.reject(fromRecord(error))
        else call?.resolve({ result, value })
        return
      }
      if (message.type === 'ping') {
        this.tell({ type: 'pong' })
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
  async call(call: Call): Promise<CallResult | undefined> {
    return (await this.#call(call).answer).result
  }

  /** Asks the master about custom processes, and takes that back when `signal` aborts. */
  async ask(call: ProcessCall, signal?: AbortSignal): Promise<unknown> {
    const { answer, id } = this.#call({ method: 'process', call })
    const forget = (): void => void this.#call({ method: 'process', call: { op: 'forget', call: id } }).answer.catch(() => undefined)
    signal?.addEventListener('abort', forget, { once: true })
    try {
      const { value } = await answer
      // What was on its way already has been taken, and is not lost.
      if (signal?.aborted && value === undefined) throw signal.reason
      return value
    } finally {
      signal?.removeEventListener('abort', forget)
    }
  }

  #call(call: Call): { readonly id: number; readonly answer: Promise<Answer> } {
    const answer = new Deferred<Answer>()
    this.#lastCall += 1
    const id = this.#lastCall
    if (this.#calls.size >= CALLS_MAX) {
      answer.reject(sluiceError('ERR_SLUICE_INVALID_STATE', `${CALLS_MAX} calls to the master are unanswered`))
      return { id, answer: answer.promise }
    }
    this.#calls.set(id, answer)
    try {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
      this.#port.postMessage({ type: 'call', id, ...call } satisfies WorkerMessage)
    } catch (cause) {
      this.#calls.delete(id)
      answer.reject(notCloneable(cause))
    }
    return { id, answer: answer.promise }
  }

  #countRead(): void {
    this.#unreported += 1
    if (this.#unreported < READ_EVERY) return
    this.tell({ type: 'read', count: this.#unreported })
    this.#unreported = 0
  }
}
