import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { sluiceError } from '../../errors.ts'
import { fromRecord, toRecord } from '../error-record.ts'
import { Deferred } from '../deferred.ts'
import type { Clock } from '../clock.ts'
import { notCloneable, parseWorkerMessage, type MasterMessage, type WorkerMessage } from '../messages.ts'
import { UNREAD_MAX } from '../worker-handle.ts'
import type { ChildBoot } from './child-boot.ts'
import { readLines } from './command-runner.ts'
import { signalChild, spawnChild } from './orphans.ts'
import type { ProcessEnd, Runner } from './runner.ts'
import type { ProcessLeave, ProcessOutput } from './spec.ts'

export interface ChildOptions {
  readonly entry: URL
  readonly boot: ChildBoot
  readonly env: NodeJS.ProcessEnv
  readonly startTimeout: number
  readonly clock: Clock
  readonly output: (output: ProcessOutput) => void
  /** Messages that concern others than supervision. */
  readonly receive: (message: WorkerMessage) => void
}

/** How long the last words of a process that has ended may take to be read. */
const LAST_WORDS_MS = 1_000

/** A Node.js process of its own. It hears of everything by its channel, whose end is the end of the server to it. */
export class ChildRunner implements Runner {
  readonly #child: ChildProcess
  readonly #receive: ChildOptions['receive']
  readonly #ready = new Deferred()
  readonly #ended = new Deferred<ProcessEnd>()
  readonly ready: Promise<void> = this.#ready.promise
  readonly ended: Promise<ProcessEnd> = this.#ended.promise
  #unread = 0
  #why: { reason: 'throw' | 'reject' | 'start-failed'; error: Error } | undefined

  constructor({ boot, clock, entry, env, output, receive, startTimeout }: ChildOptions) {
    this.#receive = receive
    const child = spawnChild(process.execPath, [...process.execArgv, fileURLToPath(entry)], { env, serialization: 'advanced', stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.#child = child
    const cancel = clock.after(startTimeout, () => {
      this.#why ??= { reason: 'start-failed', error: new Error(`It was not ready after ${startTimeout} ms (reload.startTimeout)`) }
      this.kill()
    })
    void this.ready.then(cancel)
    child.on('message', (value) => this.#onMessage(value))
    child.once('error', (error) => {
      cancel()
      if (child.pid === undefined) this.#ended.resolve({ reason: 'start-failed', exitCode: -1, signal: undefined, error })
    })
    child.once('exit', (code, signal) => {
      cancel()
      const end = (): void => {
        const { error, reason = signal === null ? ('exit' as const) : ('signal' as const) } = this.#why ?? {}
        this.#ended.resolve({ reason, exitCode: code ?? -1, signal: signal ?? undefined, error })
      }
      if (!child.connected) return end()
      // Its last words may still be on their way.
      child.once('disconnect', end)
      clock.after(LAST_WORDS_MS, end)
    })
    readLines(child.stdout, (line) => output({ process: boot.name, stream: 'stdout', line }))
    readLines(child.stderr, (line) => output({ process: boot.name, stream: 'stderr', line }))
    this.#send({ type: 'boot', boot })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  stop(reason: ProcessLeave, timeout: number): void {
    this.#send({ type: 'drain', reason: reason === 'reload' ? 'reload' : 'shutdown' } satisfies MasterMessage)
    this.#send({ type: 'stop', timeout } satisfies MasterMessage)
  }

  kill(): void {
    signalChild(this.#child, 'SIGKILL')
  }

  post(message: MasterMessage): void {
    if (message.type === 'message') {
      if (this.#unread >= UNREAD_MAX) throw sluiceError('ERR_SLUICE_INVALID_STATE', `The process has ${UNREAD_MAX} messages that it has not read yet`)
      this.#unread += 1
    }
    try {
      this.#send(message)
    } catch (cause) {
      // What threads can share a process cannot have.
      if (message.type !== 'reply') throw notCloneable(cause)
      this.#send({ ...message, error: toRecord(notCloneable(cause)), value: undefined } satisfies MasterMessage)
    }
  }

  #send(message: object): void {
    // To one that has just died nothing can be said; its end is on its way.
    if (this.#child.connected) this.#child.send(message, () => undefined)
  }

  #onMessage(value: unknown): void {
    const message = parseWorkerMessage(value)
    switch (message?.type) {
      case undefined:
      case 'stopped':
        break
      case 'read':
        this.#unread = Math.max(0, this.#unread - message.count)
        break
      case 'ready':
        this.#ready.resolve(undefined)
        break
      case 'start-failed':
        this.#why ??= { reason: 'start-failed', error: fromRecord(message.error) }
        break
      case 'fatal':
        this.#why ??= { reason: message.reason, error: fromRecord(message.error) }
        break
      default:
        this.#receive(message as WorkerMessage)
    }
  }
}
