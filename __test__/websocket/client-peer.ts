import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { ExecutionContext } from 'ava'
import { WebSocketServer, type ServerOptions, type WebSocket } from 'ws'
import { WebSocketClient, type WebSocketClientEvents, type WebSocketClientOptions } from '../../src-ts/index.ts'

/** How long a test waits for anything before it says what did not come. */
const PATIENCE = 20_000

/** A server of the package `ws` on a free port, for the time of one test. */
export class Peer {
  readonly url: string
  readonly server: WebSocketServer
  readonly #accepted: WebSocket[] = []
  readonly #waiting: ((socket: WebSocket) => void)[] = []

  private constructor(server: WebSocketServer) {
    this.server = server
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (socket) => {
      socket.on('error', () => {})
      const waiter = this.#waiting.shift()
      if (waiter === undefined) this.#accepted.push(socket)
      else waiter(socket)
    })
  }

  static async start(t: ExecutionContext, options: ServerOptions = {}): Promise<Peer> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options })
    t.teardown(() => {
      for (const socket of server.clients) socket.terminate()
      server.close()
    })
    await once(server, 'listening')
    return new Peer(server)
  }

  /** The connections in the order in which they came, each once. */
  connection(): Promise<WebSocket> {
    const socket = this.#accepted.shift()
    return inTime('a connection', socket === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(socket))
  }
}

/** A client that ends with its test. */
export function connect(t: ExecutionContext, url: string, options?: WebSocketClientOptions | string[]): WebSocketClient {
  const client = new WebSocketClient(url, options)
  t.teardown(() => client.terminate())
  return client
}

/** A client that is open, with the server's end of its connection. */
export async function open(t: ExecutionContext, peer: Peer, options?: WebSocketClientOptions): Promise<{ client: WebSocketClient; socket: WebSocket }> {
  const client = connect(t, peer.url, options)
  const [socket] = await Promise.all([peer.connection(), next(client, 'open')])
  return { client, socket }
}

/** The next event of a name. To be called before what causes it. */
export function next<K extends keyof WebSocketClientEvents>(client: WebSocketClient, type: K): Promise<WebSocketClientEvents[K]> {
  return inTime(`the event ${type}`, new Promise((resolve) => client.addEventListener(type, resolve, { once: true })))
}

/** The close code and reason that the server's end sees. */
export async function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await inTime('the end of the connection', once(socket, 'close'))) as [number, Buffer]
  return { code, reason: reason.toString() }
}

/** The next message that the server's end gets. */
export async function messageOf(socket: WebSocket): Promise<string | Buffer> {
  const [data, isBinary] = (await inTime('a message', once(socket, 'message'))) as [Buffer, boolean]
  return isBinary ? data : data.toString()
}

/** Names of the client's events as they come, `open` and `close` with what they bring. */
export function record(client: WebSocketClient): string[] {
  const events: string[] = []
  client.addEventListener('open', () => events.push('open'))
  client.addEventListener('error', () => events.push('error'))
  client.addEventListener('close', ({ code }) => events.push(`close ${code}`))
  client.addEventListener('reconnecting', ({ attempt }) => events.push(`reconnecting ${attempt}`))
  return events
}

/** A TCP server for what `ws` would not do. `handle` gets each connection. */
export async function rawServer(t: ExecutionContext, handle: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    handle(socket)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `ws://127.0.0.1:${portOf(server)}`
}

/** Answers the handshake of the standard and leaves the rest to the test; reading has stopped. */
export async function acceptByHand(socket: Socket): Promise<void> {
  const request = String(await headOf(socket))
  const key = /sec-websocket-key: (\S+)/i.exec(request)?.[1] ?? ''
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
}

/** The first bytes of a connection, which on the loopback are the whole head. */
export async function headOf(socket: Socket): Promise<Buffer> {
  const [head] = (await inTime('a request', once(socket, 'data'))) as [Buffer]
  socket.pause()
  return head
}

/** A port where nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}

/** Fails with the name of what it waits for. */
export async function inTime<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come in ${PATIENCE} ms`)), PATIENCE)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
