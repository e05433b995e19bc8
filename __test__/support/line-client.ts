import { connect, type Socket } from 'node:net'
import type { ExecutionContext } from 'ava'
import type { Server } from 'sluice'

/** How long a wait may last, in milliseconds. Only reached when a promise is broken. */
const WAIT_MS = 20_000

/** A TCP client that reads bytes, lines, or what is left. */
export class LineClient {
  readonly socket: Socket
  #input = ''
  #ended = false
  #error: NodeJS.ErrnoException | undefined
  #look: () => void = () => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('data', (text) => {
      this.#input += String(text)
      this.#look()
    })
    socket.on('error', (error) => (this.#error = error))
    socket.on('close', () => this.#look())
    socket.on('end', () => {
      this.#ended = true
      this.#look()
    })
  }

  static async connect(t: ExecutionContext, server: Server, port = 'line'): Promise<LineClient> {
    const { address } = server.port(port)
    const socket = connect('path' in address ? { path: address.path, allowHalfOpen: true } : { port: address.port, host: '127.0.0.1', allowHalfOpen: true })
    t.teardown(() => socket.destroy())
    await new Promise<void>((resolve, reject) => socket.once('connect', () => resolve()).once('error', reject))
    return new LineClient(socket)
  }

  send(...lines: string[]): void {
    this.socket.write(lines.map((line) => `${line}\n`).join(''))
  }

  /** The next line, without its end. */
  async line(): Promise<string> {
    await this.#until('a line', () => this.#input.includes('\n'))
    const end = this.#input.indexOf('\n')
    const line = this.#input.slice(0, end)
    this.#input = this.#input.slice(end + 1)
    return line
  }

  async lines(count: number): Promise<string[]> {
    const lines: string[] = []
    while (lines.length < count) lines.push(await this.line())
    return lines
  }

  async ask(line: string): Promise<string> {
    this.send(line)
    return this.line()
  }

  async text(length: number): Promise<string> {
    await this.#until(`${length} characters`, () => this.#input.length >= length)
    const text = this.#input.slice(0, length)
    this.#input = this.#input.slice(length)
    return text
  }

  /** What comes before the server's FIN. Rejects when there is none. */
  async rest(): Promise<string> {
    await this.#until('the end', () => this.#ended)
    return this.#input
  }

  /** The code of the error that the connection ends with. */
  async broken(): Promise<string | undefined> {
    if (!this.socket.destroyed) await new Promise((resolve) => this.socket.once('close', resolve))
    return this.#error?.code
  }

  #until(what: string, isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (error?: Error): void => {
        clearTimeout(timer)
        this.#look = () => undefined
        if (error === undefined) resolve()
        else reject(error)
      }
      const timer = setTimeout(() => end(new Error(`waited ${WAIT_MS} ms for ${what}; there is ${JSON.stringify(this.#input.slice(0, 200))}`)), WAIT_MS)
      this.#look = () => {
        if (isSo()) end()
        else if (this.#ended || this.socket.destroyed) end(new Error(`the connection ended (${this.#error?.code ?? 'FIN'}) before ${what}; there is ${JSON.stringify(this.#input.slice(0, 200))}`))
      }
      this.#look()
    })
  }
}
