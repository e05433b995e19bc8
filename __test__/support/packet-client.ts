import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { ExecutionContext } from 'ava'
import type { Server } from 'sluice'

/** A UDP client that is closed with its test. */
export class PacketClient {
  readonly #socket: Socket
  readonly #to: { host: string; port: number }
  readonly #received: { data: Buffer; from: RemoteInfo }[] = []
  #news: () => void = () => undefined

  private constructor(socket: Socket, to: { host: string; port: number }) {
    this.#socket = socket
    this.#to = to
    socket.on('message', (data, from) => {
      this.#received.push({ data, from })
      this.#news()
    })
  }

  /** A client of a port of `server`, from `host`. */
  static async open(t: ExecutionContext, server: Server, port: string, host = '127.0.0.1'): Promise<PacketClient> {
    const { address } = server.port(port)
    if (!('port' in address)) throw new Error(`port ${port} is a unix socket`)
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    socket.bind(0, host)
    await once(socket, 'listening')
    t.teardown(() => socket.close())
    return new PacketClient(socket, { host, port: address.port })
  }

  get port(): number {
    return this.#socket.address().port
  }

  get socket(): Socket {
    return this.#socket
  }

  send(data: string | Uint8Array, host = this.#to.host): void {
    this.#socket.send(data, this.#to.port, host)
  }

  /** The next packet. Rejects after 20 s. */
  async next(): Promise<{ data: Buffer; from: RemoteInfo }> {
    const end = AbortSignal.timeout(20_000)
    while (this.#received.length === 0) {
      await new Promise<void>((resolve, reject) => {
        this.#news = resolve
        end.addEventListener('abort', () => reject(new Error('waited 20 s for a packet')), { once: true })
      })
    }
    return this.#received.shift()!
  }

  async text(): Promise<string> {
    return (await this.next()).data.toString('latin1')
  }

  /** What comes back for a packet, as text. */
  ask(data: string | Uint8Array, host?: string): Promise<string> {
    this.send(data, host)
    return this.text()
  }
}
