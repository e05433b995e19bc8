import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

import { sluiceError } from '../../errors.ts'
import { fromRecord, toRecord } from '../error-record.ts'
import { Deferred } from '../deferred.ts'
import type { Clock } from '../clock.ts'
import { parseWorkerMessage, type MasterMessage, type WorkerMessage } from '../messages.ts'
import { UNREAD_MAX } from '../worker-handle.ts'
import type { ChildBoot } from './child-boot.ts'
import type { ChildCalls } from './child-calls.ts'
import { CALLS_FD, LINE_FD } from './child-line.ts'
import { readLines, type OutputTaker } from './output.ts'
import { FRAME_BYTES_MAX, FrameReader, toFrame } from './frames.ts'
import { signalChild, spawnChild } from './orphans.ts'
import type { ProcessEnd, Runner } from './runner.ts'
import type { ProcessLeave } from './spec.ts'

export interface ChildOptions {
  readonly entry: URL
  readonly boot: ChildBoot
  readonly env: NodeJS.ProcessEnv
  readonly startTimeout: number
  readonly clock: Clock
  readonly output: OutputTaker
  /** Messages that concern others than supervision. */
  readonly receive: (message: WorkerMessage) => void
  /** Answers its calls of the server; `post` reaches the process. */
  readonly calls: (post: (message: MasterMessage) => void) => ChildCalls
}

/** Bytes of messages and requests of others that it has not read; of what it has asked for itself a little more may wait. */
const UNREAD_BYTES_MAX = 64 * 1024 * 1024

/** How long the last words of a process that has ended may take to be read. */
const LAST_WORDS_MS = 1_000

/** A Node.js process of its own. It hears of everything by its line, whose end is the end of the server to it. */
export class ChildRunner implements Runner {
  readonly #child: ChildProcess
  readonly #line: Socket
  readonly #calls: ChildCalls
  readonly #receive: ChildOptions['receive']
  readonly #ready = new Deferred()
  readonly #ended = new Deferred<ProcessEnd>()
  readonly ready: Promise<void> = this.#ready.promise
  readonly ended: Promise<ProcessEnd> = this.#ended.promise
  #unread = 0
  #hasEnded = false
  #why: { reason: 'throw' | 'reject' | 'start-failed' | 'signal'; error: Error } | undefined
  #isCondemned = false
  #ponged: (() => void) | undefined

  constructor({ boot, calls, clock, entry, env, output, receive, startTimeout }: ChildOptions) {
    this.#receive = receive
    const stdio = ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] as const
    const child = spawnChild(process.execPath, [...process.execArgv.filter((flag) => !flag.startsWith('--inspect')), fileURLToPath(entry)], { env, stdio: [...stdio] })
    this.#child = child
    const [, , , line, answers] = (child.stdio ?? []) as readonly (Socket | undefined)[]
    // Node has no streams for a process that it could not give any; the reason comes by an event.
    if (line === undefined || answers === undefined) throw new Error('There are not enough file descriptors left for a process')
    this.#line = line
    this.#calls = calls((message) => this.post(message))
    const cancel = clock.after(startTimeout, () => {
      this.#why ??= { reason: 'start-failed', error: new Error(`It was not ready after ${startTimeout} ms (reload.startTimeout)`) }
      this.kill()
    })
    void this.ready.then(cancel)
    child.once('error', (error) => {
      cancel()
      if (child.pid === undefined) this.#end({ reason: 'start-failed', exitCode: -1, signal: undefined, error })
    })
    child.once('exit', (code, signal) => {
      cancel()
      const end = (): void => {
        const { error, reason = signal === null ? ('exit' as const) : ('signal' as const) } = this.#why ?? {}
        this.#end({ reason, exitCode: code ?? -1, signal: signal ?? undefined, error })
      }
      if (this.#line.closed) return end()
      // Its last words may still be on their way.
      const forget = clock.after(LAST_WORDS_MS, end)
      this.#line.once('close', () => {
        forget()
        end()
      })
    })
    readLines(child.stdout, (line) => output({ process: boot.name, stream: 'stdout', line }))
    readLines(child.stderr, (line) => output({ process: boot.name, stream: 'stderr', line }))
    this.#listen(this.#line, (value) => this.#onMessage(value))
    this.#listen(answers, (call) => this.#write(answers, this.#answerTo(call)))
    this.#send({ type: 'boot', boot })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  stop(reason: ProcessLeave, timeout: number): void {
    this.#send({ type: 'drain', reason: reason === 'reload' ? 'reload' : 'shutdown' })
    this.#send({ type: 'stop', timeout })
  }

  kill(): void {
    signalChild(this.#child, 'SIGKILL')
  }

  ping(ponged: () => void): void {
    this.#ponged = ponged
    this.#send({ type: 'ping' })
  }

  abandon(): void {
    this.#calls.end()
  }

  post(message: MasterMessage): void {
    const unread = this.#line.writableLength
    if (message.type === 'message') {
      if (this.#unread >= UNREAD_MAX || unread > UNREAD_BYTES_MAX) throw sluiceError('ERR_SLUICE_INVALID_STATE', `The process has ${this.#unread} messages that it has not read yet`)
      this.#send(message)
      this.#unread += 1
      return
    }
    if (message.type === 'ask' && unread > UNREAD_BYTES_MAX) throw sluiceError('ERR_SLUICE_PROCESS_FULL', `The process has ${unread} bytes that it has not read yet`)
    try {
      this.#send(message)
    } catch (cause) {
      // What threads can share a process cannot have.
      if (message.type !== 'reply') throw cause
      this.#send({ ...message, error: toRecord(cause), value: undefined })
    }
  }

  /** @throws ERR_SLUICE_INVALID_ARG for what cannot be cloned, or is too long */
  #send(message: MasterMessage): void {
    this.#write(this.#line, toFrame(message))
  }

  #write(socket: Socket, frame: Buffer): void {
    // To one that has just died nothing can be said; its end is on its way.
    if (!socket.writable) return
    if (socket.writableLength > UNREAD_BYTES_MAX + 2 * FRAME_BYTES_MAX) this.#condemn(`${socket.writableLength} bytes that it has asked for are unread`)
    else socket.write(frame)
  }

  #answerTo(call: unknown): Buffer {
    try {
      return toFrame({ value: this.#calls.answer(call) })
    } catch (error) {
      return toFrame({ error: toRecord(error) })
    }
  }

  /** Takes what comes; what is no message ends the process, which nobody could understand any more. */
  #listen(socket: Socket, take: (value: unknown) => void): void {
    const reader = new FrameReader((value) => {
      if (!this.#isCondemned) take(value)
    })
    socket.on('data', (chunk: Buffer) => {
      if (this.#isCondemned) return
      try {
        reader.write(chunk)
      } catch (error) {
        this.#condemn(`What it writes to file descriptor ${socket === this.#line ? LINE_FD : CALLS_FD}, which are the server's, makes no sense`, error)
      }
    })
    // It goes away in the middle of it.
    socket.on('error', () => {})
  }

  #condemn(why: string, cause?: unknown): void {
    this.#isCondemned = true
    this.#why = { reason: 'signal', error: new Error(`The process was killed: ${why}`, { cause }) }
    this.kill()
  }

  #end(end: ProcessEnd): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#calls.end()
    this.#ended.resolve(end)
  }

  #onMessage(value: unknown): void {
    const message = parseWorkerMessage(value)
    switch (message?.type) {
      case undefined:
      case 'stopped':
        break
      case 'pong':
        this.#ponged?.()
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
