/** The load client: built from `client/`, run for one case, spoken to line by line. */
import { execFileSync, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { root } from '../support/runtimes.mjs'

/** Opening 10 000 connections, warming up and draining, beside the window itself. */
const limitBesideWindow = 90_000

/** Builds it when it is not up to date, and gives the path of the program. */
export function buildLoadClient() {
  const args = ['build', '--release', '-p', 'sluice-ws-load', '--message-format', 'json-render-diagnostics']
  const output = execFileSync('cargo', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
  const messages = output.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  return messages.find((message) => message.target?.name === 'sluice-ws-load' && message.executable).executable
}

/** None of them outlives the runner, however that ends. */
const running = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class LoadClient {
  #child
  #lines
  #complaint = ''
  #timer

  constructor(child, limit) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.#timer = setTimeout(() => {
      this.#complaint += 'killed: it took too long'
      child.kill('SIGKILL')
    }, limit)
    child.stderr.setEncoding('utf8').on('data', (text) => (this.#complaint = (this.#complaint + text).slice(-2000)))
    // Writing to one that has ended: the missing line says so already.
    child.stdin.on('error', () => {})
    running.add(child)
    child.once('error', (error) => {
      this.#complaint += error.message
      running.delete(child)
      clearTimeout(this.#timer)
    })
    child.once('close', () => {
      running.delete(child)
      clearTimeout(this.#timer)
    })
  }

  /**
   * `seconds` is the length of the window, 0 for a mode that has none; `core` pins it, undefined leaves it to the kernel.
   *
   * @param {string} program what `buildLoadClient` gave
   * @param {{ args: string[], port: number, connections: number, seconds: number, core: number | undefined }} options
   */
  static start(program, { args, port, connections, seconds, core }) {
    const command = [program, ...args, '--port', String(port), '--connections', String(connections)]
    if (seconds > 0) command.push('--seconds', String(seconds))
    const pinned = core === undefined ? command : ['taskset', '-c', String(core), ...command]
    const child = spawn(pinned[0], pinned.slice(1), { stdio: 'pipe' })
    return new LoadClient(child, limitBesideWindow + seconds * 1000)
  }

  /** Resolves when every connection is open, the server is warm and nothing is on its way. */
  async ready() {
    const line = await this.#line()
    if (line !== 'ready') throw new Error(`the load client said "${line}"`)
  }

  /**
   * Lets the window begin. All connections are still open when this resolves.
   *
   * @returns {Promise<{ count: number, micros: number, p50: number, p99: number, max: number }>} times in microseconds
   */
  async result() {
    this.#child.stdin.write('go\n')
    const line = await this.#line()
    if (!line.startsWith('result ')) throw new Error(`the load client said "${line}"`)
    return JSON.parse(line.slice('result '.length))
  }

  /** Closes every connection; resolves when the program is gone. Also ends one that is in the middle of something. */
  async end() {
    if (!running.has(this.#child)) return
    const closed = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.kill('SIGKILL')
    await closed
  }

  async #line() {
    const { done, value } = await this.#lines.next()
    if (!done) return value
    // The reason comes through another pipe, which is read to its end by then.
    if (running.has(this.#child)) await new Promise((resolve) => this.#child.once('close', resolve))
    throw new Error(`the load client ended early\n${this.#complaint.trim()}`)
  }
}
