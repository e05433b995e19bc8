/** One peer's server process: started on a core or anywhere, found by the port it prints, ended by its pid. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const startLimit = 20_000
const stopLimit = 3_000

/** None of them outlives the runner, however that ends. */
const running = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143]
]) {
  process.once(signal, () => process.exit(code))
}

export class ServerProcess {
  #child
  /** @type {number} */
  port

  constructor(child, port) {
    this.#child = child
    this.port = port
  }

  get pid() {
    return this.#child.pid
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /**
   * `core` pins the process, undefined leaves it to the kernel. Rejects when the peer ends or says no port within 20 s.
   *
   * @param {{ name: string, command: string[] }} peer
   * @param {number | undefined} core
   */
  static async start(peer, core) {
    const command = core === undefined ? peer.command : ['taskset', '-c', String(core), ...peer.command]
    const child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_ENV: 'production' }
    })
    running.add(child)
    child.once('exit', () => running.delete(child))
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (complaint = (complaint + text).slice(-2000)))
    const timer = setTimeout(() => child.kill('SIGKILL'), startLimit)
    try {
      return new ServerProcess(child, await portOf(child))
    } catch (error) {
      throw new Error(`${peer.name} did not start: ${error.message}\n${complaint}`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Asks it to end, and makes it after 3 s. */
  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopLimit)
    this.#child.kill('SIGTERM')
    await exited
    clearTimeout(timer)
  }
}

/** Every peer prints `port N` once it listens. Later output is read and dropped, so that no pipe fills up. */
function portOf(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`ended with ${signal ?? `code ${code}`} before it listened`)))
    createInterface({ input: child.stdout }).on('line', (line) => {
      const port = /^port (\d+)$/.exec(line)
      if (port) resolve(Number(port[1]))
    })
  })
}
