/**
 * The control socket: how `sluice reload`, `stop`, `push` and `status` talk to the master. One JSON object per line each way,
 * `{ id, method, params? }` → `{ id, result }` or `{ id, error: { code?, message } }`, answered in order.
 */
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs'
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { basename, dirname, join } from 'node:path'

export const controlMethods = ['ping', 'status', 'info', 'reload', 'stop', 'push', 'tasks', 'cron', 'runCron'] as const
export type ControlMethod = (typeof controlMethods)[number]

/** Answers to each method. `params` comes from outside: parse it. What is thrown becomes the `error` of the answer. */
export type ControlHandlers = { readonly [M in ControlMethod]: (params: unknown) => unknown }

/** What an answer says when the call failed. */
export interface ControlFault {
  readonly message: string
  readonly code?: string | undefined
}

/** Longest line either side takes. A longer one ends the connection. */
export const CONTROL_LINE_BYTES_MAX = 1024 * 1024
/** More clients than this at once are turned away. */
const CONNECTIONS_MAX = 32
/** A client that asks nothing for this long is disconnected. */
const IDLE_MS = 60_000

/** A unix socket that only this user can open: it gets mode 0600 before it has its name. Not on Windows. */
export class ControlServer {
  readonly #path: string
  readonly #handlers: ControlHandlers
  readonly #server: NetServer
  readonly #sockets = new Set<Socket>()
  #isBound = false

  constructor(path: string, handlers: ControlHandlers) {
    this.#path = path
    this.#handlers = handlers
    // A client may close its side after the last request and still gets its answers.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket))
    this.#server.maxConnections = CONNECTIONS_MAX
  }

  /** Binds the socket; a stale one is replaced. Rejects with the system's error. */
  async start(): Promise<void> {
    const directory = dirname(this.#path)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    // Whatever the umask and the rights of the directory, nobody else can reach the socket before it has its mode.
    const cradle = mkdtempSync(join(directory, '.bind-'))
    try {
      const born = join(cradle, 's')
      const address = socketAddress(born)
      try {
        await new Promise<void>((resolve, reject) => {
          this.#server.once('error', reject).listen(address.path, resolve)
        })
      } finally {
        address.release()
      }
      chmodSync(born, 0o600)
      renameSync(born, this.#path)
      this.#isBound = true
    } finally {
      rmSync(cradle, { recursive: true, force: true })
    }
    // The process lives as long as the server does, not as long as somebody may ask about it.
    this.#server.unref()
    this.#server.on('error', () => {})
  }

  /** Ends all connections and removes the socket. May be called again. */
  stop(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    if (this.#isBound) rmSync(this.#path, { force: true })
    this.#isBound = false
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.unref()
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('timeout', () => socket.destroy())
    socket.setTimeout(IDLE_MS)
    try {
      // Not destroyed at the end of what is read: an answer may still be on its way.
      for await (const line of linesOf(socket.iterator({ destroyOnReturn: false }))) {
        socket.setTimeout(0)
        const answer = await this.#answer(line)
        if (!socket.writable) break
        socket.write(`${JSON.stringify(answer)}\n`)
        socket.setTimeout(IDLE_MS)
      }
    } catch {
      // The client went away in the middle of a line, or sent one without end.
    }
    socket.destroySoon()
  }

  async #answer(line: string): Promise<{ id: unknown; result: unknown } | { id: unknown; error: ControlFault }> {
    let id: unknown = null
    try {
      const request: unknown = JSON.parse(line)
      if (typeof request !== 'object' || request === null || !('method' in request)) throw new Error('A request is { id, method, params }')
      if ('id' in request) id = request.id
      const method = controlMethods.find((name) => name === request.method)
      if (method === undefined) throw new Error(`There is no method ${JSON.stringify(request.method)}`)
      const result = await this.#handlers[method]('params' in request ? request.params : undefined)
      return { id, result: result ?? null }
    } catch (error) {
      return { id, error: toFault(error) }
    }
  }
}

/** An error as an answer can carry it. */
export function toFault(error: unknown): ControlFault {
  if (!(error instanceof Error)) return { message: String(error) }
  return { message: error.message, code: 'code' in error ? String(error.code) : undefined }
}

/** The lines of a stream. Ends with it; throws when a line is longer than {@link CONTROL_LINE_BYTES_MAX}. */
export async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield rest.toString('utf8', 0, end)
      rest = rest.subarray(end + 1)
    }
    if (rest.length > CONTROL_LINE_BYTES_MAX) throw new Error(`A line is longer than ${CONTROL_LINE_BYTES_MAX} bytes`)
  }
}

/** Longest path in a unix address that every system takes, without the final NUL (Linux 107, macOS 103). */
const SOCKET_PATH_BYTES_MAX = 103

/**
 * How to name a unix socket to the system. A path that is too long for an address goes through an open directory on Linux;
 * call `release` when it is bound or connected.
 */
export function socketAddress(path: string): { path: string; release(): void } {
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX || process.platform !== 'linux') return { path, release() {} }
  const descriptor = openSync(dirname(path), 'r')
  return { path: `/proc/self/fd/${descriptor}/${basename(path)}`, release: () => closeSync(descriptor) }
}
