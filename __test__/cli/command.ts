import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import { removeState } from '../support/state-dir.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
export const cliPath = join(root, 'dist', 'cli.js')

/** How long a test waits for anything; far beyond what it takes. */
const WAIT_MS = 30_000

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** An app whose answer tells its version of the code, its pid and its environment. */
export const app = (text = 'one') => `
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/hang') { console.log('hanging'); await new Promise(() => {}) }
    if (pathname === '/env') return Response.json(process.env)
    return new Response('${text}')
  },
}
`

/** A directory with an app in it, in which commands of the built package are run. Everything ends with the test. */
export class Workplace {
  readonly path: string
  readonly #t: ExecutionContext

  constructor(t: ExecutionContext, files: Record<string, string> = { 'app.mjs': app() }) {
    this.#t = t
    this.path = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-cli-')))
    t.teardown(() => {
      // A server that went into the background is no child of anyone here.
      const pidFile = this.file('.sluice/sluice.pid')
      if (existsSync(pidFile)) tryKill(Number(readFileSync(pidFile, 'utf8')))
      removeState(this.file('.sluice'))
      rmSync(this.path, { recursive: true, force: true })
    })
    for (const [name, text] of Object.entries(files)) this.write(name, text)
    // So that the files here can `import 'sluice'`, as they could where it is installed.
    mkdirSync(this.file('node_modules'))
    symlinkSync(root, this.file('node_modules/sluice'))
  }

  file(name: string): string {
    return join(this.path, name)
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.file(name)), { recursive: true })
    writeFileSync(this.file(name), text)
  }

  /** Starts a command and leaves it running. */
  spawn(args: readonly string[], env: Record<string, string> = {}): Command {
    const child = spawn(process.execPath, [cliPath, ...args], { cwd: this.path, env: { ...cleanEnvironment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#t.teardown(() => child.kill('SIGKILL'))
    return new Command(child)
  }

  /** Runs a command to its end. */
  run(args: readonly string[], env?: Record<string, string>): Promise<Ended> {
    return this.spawn(args, env).ended
  }

  /** Starts a server on a free port and waits until it is ready. */
  async serve(args: readonly string[] = [], env?: Record<string, string>): Promise<Command & { url: string }> {
    const command = this.spawn(['start', ...(args.some((arg) => arg.endsWith('.mjs')) || this.#hasConfig ? [] : ['app.mjs']), '--port', '0', '--workers', '1', ...args], env)
    const [, url = ''] = await command.said(/http +(http:\S+)\//)
    await command.said(/stop: /)
    return Object.assign(command, { url })
  }

  get #hasConfig(): boolean {
    return ['ts', 'mjs', 'js', 'json'].some((extension) => existsSync(this.file(`sluice.config.${extension}`)))
  }
}

export class Command {
  readonly child: ChildProcess
  readonly #end: Promise<Ended>
  #stdout = ''
  #stderr = ''
  #listeners = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
      for (const listener of this.#listeners) listener()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
      for (const listener of this.#listeners) listener()
    })
    this.#end = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr })))
  }

  /** Its end, which is waited for from now on: how long it has run before does not matter. */
  get ended(): Promise<Ended> {
    const ended = within(`the end of pid ${this.child.pid}`, this.#end, () => this.output)
    // Who does not wait for it does not care; who does gets the rejection.
    ended.catch(() => {})
    return ended
  }

  get pid(): number {
    return this.child.pid as number
  }

  get output(): string {
    return this.#stdout + this.#stderr
  }

  /** Waits until the output matches. */
  said(pattern: RegExp): Promise<RegExpExecArray> {
    const matching = new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.output)
        if (match) {
          this.#listeners.delete(look)
          resolve(match)
        }
      }
      this.#listeners.add(look)
      this.child.once('close', (code) => reject(new Error(`It ended with ${code} before it said ${pattern}:\n${this.output}`)))
      look()
    })
    return within(`${pattern}`, matching, () => this.output)
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }
}

/** The variables the tests set themselves must not come from outside. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(?:SLUICE_|LOG_LEVEL$|PORT$|HOST$|NO_COLOR$|FORCE_COLOR$|X_VERSION$|NODE_OPTIONS$|NODE_V8_COVERAGE$)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}

async function within<T>(what: string, promise: Promise<T>, soFar: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${WAIT_MS} ms for ${what}; so far:\n${soFar()}`)), WAIT_MS)
    timer.unref()
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** The text that a URL answers. */
export async function get(url: string): Promise<string> {
  const response = await fetch(url)
  return await response.text()
}
