import { Opcode, SendFlag } from '../bridge/record.ts'
import { SocketConnection } from '../connection/connection.ts'
import type { Socket } from '../connection/socket.ts'
import { type Bytes, bytesOf } from '../websocket/payload.ts'

/** What `close()` says: all is well. */
const NORMAL = 1000

/** A connection of a TCP port, as its worker has it. */
export class TcpConn<D = unknown, S = unknown> extends SocketConnection<D, S> {
  readonly #socket: Socket

  /** @internal */
  constructor(socket: Socket) {
    super(socket)
    this.#socket = socket
  }

  /**
   * Sends bytes as they are, a string as UTF-8: framing what is sent is the app's. Bytes accepted; -1: accepted, but the peer reads
   * slowly, so wait for {@link drained} or the `drain` handler; 0: not sent, the connection has ended or `limits.sendBuffer` is reached.
   *
   * @throws TypeError ERR_SLUICE_INVALID_ARG for what is neither string nor bytes
   */
  override send(data: Bytes): number {
    const socket = this.#socket
    if (socket.handle < 0) return 0
    const sent = socket.host.commands.send(socket.handle, bytesOf(data), Opcode.BINARY | SendFlag.FIN)
    if (sent <= 0) socket.sent(sent)
    return sent
  }

  /** Sends FIN behind everything that was sent before; `close` follows when that is out. Data that comes from now on is dropped. */
  override close(): void {
    this.#socket.end(NORMAL, '')
  }
}
