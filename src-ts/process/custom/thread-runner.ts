import type { MasterMessage } from '../messages.ts'
import { ThreadHandle, type ThreadOptions } from '../worker-handle.ts'
import type { ProcessEnd, Runner } from './runner.ts'
import type { ProcessLeave } from './spec.ts'

/** A process on a thread of the server. */
export class ThreadRunner implements Runner {
  readonly thread: ThreadHandle
  readonly pid: number = process.pid
  readonly ready: Promise<void>
  readonly ended: Promise<ProcessEnd>
  readonly #core: ThreadOptions['core']
  #wasStopped = false
  #ponged: (() => void) | undefined

  /** `activate` says that the thread is there, when it is. */
  constructor(options: ThreadOptions, activate: (thread: ThreadHandle) => void) {
    this.#core = options.core
    this.thread = new ThreadHandle({
      ...options,
      receive: (message, thread) => {
        if (message.type === 'pong') this.#ponged?.()
        else options.receive(message, thread)
      },
    })
    let startError: Error | undefined
    let isReady = false
    const started = this.thread.ready.then(
      () => {
        isReady = true
        activate(this.thread)
      },
      (error: Error) => {
        startError = error
        return new Promise<void>(() => {})
      },
    )
    this.ready = started
    this.ended = this.thread.exited.then(async (): Promise<ProcessEnd> => {
      if (startError !== undefined && !isReady) return { reason: 'start-failed', exitCode: -1, signal: undefined, error: startError }
      if (this.#wasStopped) return { reason: 'exit', exitCode: 0, signal: undefined, error: undefined }
      const { error, exitCode, reason } = await this.thread.death
      return { reason, exitCode, signal: undefined, error }
    })
  }

  stop(reason: ProcessLeave, timeout: number): void {
    this.#wasStopped = true
    this.thread.drain(reason === 'reload' ? 'reload' : 'shutdown')
    this.thread.stop(timeout)
  }

  kill(): void {
    this.#wasStopped = true
    this.thread.terminate()
  }

  ping(ponged: () => void): void {
    this.#ponged = ponged
    this.thread.post({ type: 'ping' })
  }

  abandon(): void {
    this.#core.writeOffThread(this.thread.threadId)
  }

  post(message: MasterMessage): void {
    this.thread.post(message)
  }
}
