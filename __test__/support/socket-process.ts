/** A program of `fixtures/` in a process of its own, which says JSON lines on stdout and takes words on stdin. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

/** Longest wait for a line, in milliseconds: reached only when a promise is broken. */
const WAIT_MS = 20_000

/** What a program says. */
export interface SaidLine {
  readonly type: string
}

export class SocketProcess<L extends SaidLine> {
  readonly #process: ChildProcess
  readonly #lines: L[] = []
  readonly #news = new EventTarget()
  readonly #name: string
  /** How the process ended, once it has. */
  #end: string | undefined

  constructor(t: ExecutionContext, name: string, args: readonly (string | number)[], env: Readonly<Record<string, string>> = {}) {
    this.#name = name
    const script = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
    this.#process = spawn(process.execPath, [script, ...args.map(String)], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '', ...env } })
    createInterface({ input: this.#process.stdout! }).on('line', (line) => {
      this.#lines.push(JSON.parse(line) as L)
      this.#news.dispatchEvent(new Event('news'))
    })
    // Not before its last line was read.
    this.#process.once('close', (code, signal) => {
      this.#end = signal ?? `exit code ${code}`
      this.#news.dispatchEvent(new Event('news'))
    })
    t.teardown(() => this.#process.kill('SIGKILL'))
  }

  /** How many lines have come. */
  get said(): number {
    return this.#lines.length
  }

  get lines(): readonly L[] {
    return this.#lines
  }

  say(text: string): void {
    this.#process.stdin?.write(`${text}\n`)
  }

  /** The next line of this type after `from`, which is a number of lines. Rejects after 20 s, or when the process ends, with what it said last. */
  async next<T extends L['type']>(type: T, from = this.#lines.length): Promise<Extract<L, { readonly type: T }>> {
    const limit = AbortSignal.timeout(WAIT_MS)
    for (let index = from; ; index += 1) {
      while (index >= this.#lines.length) {
        if (this.#end !== undefined) throw new Error(`${this.#name} ended (${this.#end}) before "${type}"; ${this.#lastSaid()}`)
        await once(this.#news, 'news', { signal: limit }).catch(() => {
          throw new Error(`waited ${WAIT_MS} ms for "${type}" of ${this.#name}; ${this.#lastSaid()}`)
        })
      }
      const line = this.#lines[index]
      if (line?.type === type) return line as Extract<L, { readonly type: T }>
    }
  }

  /** Says something and waits for the next line of a type. */
  async ask<T extends L['type']>(text: string, type: T): Promise<Extract<L, { readonly type: T }>> {
    const from = this.#lines.length
    this.say(text)
    return await this.next(type, from)
  }

  /** Ends its input and waits for its end; how it ended. */
  async stop(): Promise<string> {
    this.#process.stdin?.end()
    while (this.#end === undefined) await once(this.#news, 'news', { signal: AbortSignal.timeout(WAIT_MS) })
    return this.#end
  }

  #lastSaid(): string {
    return `it said last:\n${this.#lines.slice(-12).map((line) => JSON.stringify(line)).join('\n')}`
  }
}
