import type { ChildProcess } from 'node:child_process'

import { Deferred } from '../deferred.ts'
import { signalChild, spawnChild } from './orphans.ts'
import { readLines, type OutputTaker } from './output.ts'
import type { ProcessEnd, Runner } from './runner.ts'

export interface CommandOptions {
  readonly name: string
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Lines of its output, of what is not redirected. */
  readonly output: OutputTaker
  /** Takes its standard output in pieces. False: no more until `resume` is called. */
  /** Whether it has an input that can be written to. */
  readonly hasInput: boolean
  readonly redirect: ((chunk: Buffer, resume: () => void) => boolean) | undefined
}

/** Input that a command has not read yet, in bytes. */
const INPUT_BYTES_MAX = 1024 * 1024

/** Any program. It is told to go by SIGTERM. */
export class CommandRunner implements Runner {
  readonly #child: ChildProcess
  readonly #ready = new Deferred()
  readonly #ended = new Deferred<ProcessEnd>()
  readonly ready: Promise<void> = this.#ready.promise
  readonly ended: Promise<ProcessEnd> = this.#ended.promise

  constructor({ command: [program = '', ...args], cwd, env, hasInput, name, output, redirect }: CommandOptions) {
    const child = spawnChild(program, args, { cwd, env, stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
    this.#child = child
    child.once('spawn', () => this.#ready.resolve(undefined))
    child.once('error', (error) => this.#ended.resolve({ reason: 'start-failed', exitCode: -1, signal: undefined, error }))
    // Not `close`: what the program has started may hold its output open for ever.
    child.once('exit', (code, signal) => {
      this.#ended.resolve({ reason: signal === null ? 'exit' : 'signal', exitCode: code ?? -1, signal: signal ?? undefined, error: undefined })
    })
    // A program that does not read goes away in the middle of it.
    child.stdin?.on('error', () => {})
    child.stdout?.on('error', () => {})
    readLines(child.stderr, (line) => output({ process: name, stream: 'stderr', line }))
    if (redirect === undefined) {
      readLines(child.stdout, (line) => output({ process: name, stream: 'stdout', line }))
      return
    }
    child.stdout?.on('data', (chunk: Buffer) => {
      if (!redirect(chunk, () => child.stdout?.resume())) child.stdout?.pause()
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  stop(): void {
    signalChild(this.#child, 'SIGTERM')
    // The end of its input says the same to a filter.
    this.#child.stdin?.end()
  }

  kill(): void {
    signalChild(this.#child, 'SIGKILL')
  }

  post(): void {}

  input(data: Uint8Array): boolean {
    const { stdin } = this.#child
    if (stdin === null || !stdin.writable || stdin.writableLength > INPUT_BYTES_MAX) return false
    stdin.write(data)
    return true
  }

  isInputOpen(): boolean {
    return this.#child.stdin?.writable === true
  }

  inputRead(): Promise<void> {
    const { stdin } = this.#child
    if (stdin === null || !stdin.writable || stdin.writableLength <= INPUT_BYTES_MAX) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        stdin.off('drain', done)
        stdin.off('close', done)
        resolve()
      }
      stdin.on('drain', done)
      stdin.on('close', done)
    })
  }

  endInput(): void {
    this.#child.stdin?.end()
  }
}
