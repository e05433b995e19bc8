import { Worker, MessageChannel, receiveMessageOnPort, type MessagePort, type ResourceLimits, type Transferable } from 'node:worker_threads'

import { sluiceError } from '../errors.ts'
import type { DeathReason, StartReason } from './api.ts'
import { within, type Clock } from './clock.ts'
import type { Core, WorkerNotice } from './core.ts'
import { Deferred } from './deferred.ts'
import { fromRecord } from './error-record.ts'
import type { Generation } from './generation.ts'
import { notCloneable, parseWorkerMessage, type Boot, type LeaveReason, type MasterMessage, type WorkerMessage } from './messages.ts'
import { workerTitle, type Place } from './place.ts'

/** How a worker ended that was not asked to. */
export interface Death {
  readonly reason: Exclude<DeathReason, 'start-failed'>
  /** -1: it did not end by itself in time; a stuck worker never does, whatever its thread said when it was ended. */
  readonly exitCode: number
  readonly error: Error | undefined
  readonly inflight: number
  readonly replayed: number
}

/** One worker thread, from its birth to its end, with what the core says about it. Supervision needs no more than this. */
export interface WorkerHandle {
  readonly id: number
  readonly place: Place
  readonly slot: number
  readonly generation: Generation
  readonly reason: StartReason
  readonly threadId: number
  /** False from the first sign of its end on, asked for or not. */
  readonly isAlive: boolean
  /** The application is loaded and attached. Rejects with ERR_SLUICE_WORKER_START. */
  readonly ready: Promise<void>
  /** Nothing of the core is in its hands any more; also when it is gone. Never rejects, like all below. */
  readonly drained: Promise<void>
  /** The first sign of an end that nobody asked for. Stays pending when it ends as asked. */
  readonly lost: Promise<'stuck' | 'dead'>
  /** What can be known about that end, collected within two seconds of {@link WorkerHandle.lost}. */
  readonly death: Promise<Death>
  /** The thread has ended. */
  readonly exited: Promise<void>
  drain(reason: LeaveReason): void
  stop(timeout: number): void
  /** Ends the thread as soon as JavaScript or a blocking wait can be interrupted. From now on its end was asked for. */
  terminate(): void
  post(message: MasterMessage, transfer?: readonly ArrayBuffer[]): void
}

/** What one thread needs at its birth beyond its {@link Boot}. */
export interface ThreadOptions {
  readonly entry: URL
  readonly place: Place
  readonly boot: Omit<Boot, 'slot' | 'id' | 'kind' | 'name'>
  readonly generation: Generation
  readonly reason: StartReason
  readonly resourceLimits: ResourceLimits | undefined
  readonly startTimeout: number
  readonly core: Core
  readonly clock: Clock
  /** Messages that concern others than supervision: errors, calls, `postMessage`. */
  readonly receive: (message: WorkerMessage, worker: WorkerHandle) => void
}

/** How long the parts of a death report may take to come together. */
const DEATH_REPORT_MS = 2_000

/** Messages to one worker that it has not read yet. Beyond, `postMessage` throws: an endless loop must not fill the memory. */
export const UNREAD_MAX = 65_536

export class ThreadHandle implements WorkerHandle {
  readonly id: number
  readonly place: Place
  readonly slot: number
  readonly generation: Generation
  readonly reason: StartReason
  readonly threadId: number
  readonly #core: Core
  readonly #clock: Clock
  readonly #thread: Worker
  readonly #port: MessagePort
  readonly #receive: ThreadOptions['receive']

  readonly #ready = new Deferred<void>()
  readonly #drained = new Deferred<void>()
  readonly #lost = new Deferred<'stuck' | 'dead'>()
  readonly #exited = new Deferred<void>()
  readonly #gone = new Deferred<void>()

  isAlive = true
  #isAskedToEnd = false
  #isStuck = false
  #hasExited = false
  #exitCode = -1
  #why: 'throw' | 'reject' | 'oom' | undefined
  #error: Error | undefined
  #handover = { inflight: 0, replayed: 0 }
  #unread = 0

  readonly ready: Promise<void> = this.#ready.promise
  readonly drained: Promise<void> = this.#drained.promise
  readonly lost: Promise<'stuck' | 'dead'> = this.#lost.promise
  readonly exited: Promise<void> = this.#exited.promise
  readonly death: Promise<Death> = this.lost.then(() => this.#collectDeath())

  /** Starts the thread. @throws when no slot or no thread is to be had */
  constructor({ entry, place, boot, generation, reason, resourceLimits, startTimeout, core, clock, receive }: ThreadOptions) {
    this.id = place.id
    this.place = place
    this.generation = generation
    this.reason = reason
    this.#core = core
    this.#clock = clock
    this.#receive = receive
    this.slot = core.createWorker(this.#onNotice)
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#thread = new Worker(entry, {
      name: place.name,
      workerData: { boot: { ...boot, id: place.id, kind: place.kind, name: place.name, slot: this.slot } satisfies Boot, port: port2 },
      transferList: [port2],
      env: generation.version === undefined ? process.env : { ...process.env, X_VERSION: generation.version },
      argv: process.argv.slice(2),
      ...(resourceLimits && { resourceLimits }),
    })
    this.threadId = this.#thread.threadId
    this.#port.on('message', (value) => this.#onMessage(value))
    this.#thread.on('error', (error) => this.#onError(error))
    this.#thread.on('exit', (code) => this.#onExit(code))
    const cancel = clock.after(startTimeout, () => {
      this.#failStart(new Error(`It was not ready after ${startTimeout} ms (reload.startTimeout)`))
      this.terminate()
    })
    this.ready.then(cancel, cancel)
  }

  drain(reason: LeaveReason): void {
    this.post({ type: 'drain', reason })
  }

  stop(timeout: number): void {
    this.#isAskedToEnd = true
    this.post({ type: 'stop', timeout })
  }

  terminate(): void {
    this.isAlive = false
    this.#isAskedToEnd = true
    void this.#thread.terminate()
    // A thread inside a native call does not end; it must not keep the process alive either.
    this.#thread.unref()
    this.#port.unref()
  }

  post(message: MasterMessage, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#hasExited) return
    if (message.type === 'message') {
      if (this.#unread >= UNREAD_MAX) {
        throw sluiceError('ERR_SLUICE_INVALID_STATE', `${workerTitle(this.place)} has ${UNREAD_MAX} messages that it has not read yet`)
      }
      try {
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
        this.#port.postMessage(message, transfer as readonly Transferable[])
      } catch (cause) {
        throw notCloneable(cause)
      }
      this.#unread += 1
      return
    }
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort; only windows have origins
    this.#port.postMessage(message)
  }

  readonly #onNotice = (notice: WorkerNotice): void => {
    switch (notice.type) {
      case 'drained':
        this.#drained.resolve()
        break
      case 'stuck': {
        this.#isStuck = true
        this.#core.writeOffThread(this.threadId)
        // The reactors may be done with it, and say so, before the watchdog has spoken: then it was lost as dead, and still runs.
        const wasLost = !this.isAlive
        this.#sign('stuck')
        if (wasLost) this.terminate()
        break
      }
      case 'gone':
        this.#handover = { inflight: notice.inflight, replayed: notice.replayed }
        this.#gone.resolve()
        this.#drained.resolve()
        this.#sign('dead')
        break
    }
  }

  #onMessage(value: unknown): void {
    const message = parseWorkerMessage(value)
    if (message === undefined) return
    switch (message.type) {
      case 'ready':
        this.#ready.resolve()
        break
      case 'stopped':
        break
      case 'read':
        this.#unread = Math.max(0, this.#unread - message.count)
        break
      case 'start-failed':
        this.#failStart(fromRecord(message.error))
        break
      case 'fatal':
        this.#why = message.reason
        this.#error = fromRecord(message.error)
        this.#failStart(this.#error)
        this.#sign('dead')
        break
      default:
        this.#receive(message, this)
    }
  }

  /** Node's own account of an end; poorer than a `fatal` message, but the only one when the heap is full. */
  #onError(error: unknown): void {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') this.#why = 'oom'
    this.#why ??= 'throw'
    this.#error ??= error instanceof Error ? error : new Error(`Thrown: ${String(error)}`, { cause: error })
    this.#failStart(this.#error)
    this.#sign('dead')
  }

  #onExit(code: number): void {
    // What the thread said last may still be on its way; the end of the port would swallow it.
    for (let last = receiveMessageOnPort(this.#port); last; last = receiveMessageOnPort(this.#port)) this.#onMessage(last.message)
    this.#port.close()
    this.#hasExited = true
    this.#exitCode = code
    this.#failStart(new Error(`It ended with exit code ${code} before it was ready`))
    this.#sign('dead')
    // A thread that never attached leaves nothing behind by which the core could notice its end.
    this.#core.writeOff(this.slot, this.#onNotice)
    this.#exited.resolve()
  }

  #sign(sign: 'stuck' | 'dead'): void {
    this.isAlive = false
    if (!this.#isAskedToEnd) this.#lost.resolve(sign)
  }

  #failStart(cause: Error): void {
    this.#ready.reject(sluiceError('ERR_SLUICE_WORKER_START', `${workerTitle(this.place)} did not start: ${cause.message}`, { cause }))
  }

  async #collectDeath(): Promise<Death> {
    const parts: Promise<void>[] = this.#isStuck ? [this.#gone.promise] : [this.#gone.promise, this.exited]
    await within(this.#clock, DEATH_REPORT_MS, Promise.all(parts))
    const { reason, exitCode } = this.#isStuck ? { reason: 'stuck' as const, exitCode: -1 } : { reason: this.#why ?? ('exit' as const), exitCode: this.#exitCode }
    return { reason, exitCode, error: this.#error, ...this.#handover }
  }
}
