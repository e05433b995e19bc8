import { ChannelKind, Opcode, SendFlag } from '../bridge/record.ts'
import { sluiceRangeError } from '../errors.ts'
import { changeChannels, SocketConnection } from '../connection/connection.ts'
import type { Socket } from '../connection/socket.ts'
import { channelName } from './channel-name.ts'
import { checkClose } from './close-info.ts'
import { HandshakeRequest } from './handshake-request.ts'
import { type Bytes, bytesOf } from './payload.ts'
import { sendKind, type SendOptions } from './send-options.ts'

/** The longest payload of a ping or pong (RFC 6455 5.5). */
const CONTROL_BYTES_MAX = 125

/**
 * A WebSocket, as its worker has it.
 *
 * It may end at any time, and another worker may get it; from then on every call here does nothing and gives 0, false or
 * undefined. Nothing throws because a peer has left.
 */
export class WebSocketConn<D = unknown, S = unknown> extends SocketConnection<D, S> {
  readonly #socket: Socket
  #handshake: HandshakeRequest | null

  /** @internal */
  constructor(socket: Socket) {
    super(socket)
    this.#socket = socket
    this.#handshake = null
  }

  /** The subprotocol; '' when there is none. */
  get protocol(): string {
    return this.#request().protocol
  }

  /**
   * With it the client can come back for `options.resume.window` when its connection breaks, by `?resume=TOKEN&received=N` in the URL,
   * N being the messages it has got. A secret: whoever has it gets the connection. Undefined without `options.resume`.
   */
  get resumeToken(): string | undefined {
    return this.#request().resumeToken
  }

  /**
   * Of a connection that goes on where an earlier one of its client broke: state, uid, groups and topics are those it had, and the
   * messages it had missed were sent again. Undefined for any other, and in a worker that has adopted the connection.
   */
  get resumed(): { readonly missed: number } | undefined {
    return this.#socket.resumed
  }

  /** The request it began with. */
  get request(): { readonly url: string; readonly headers: Headers } {
    return this.#request()
  }

  /**
   * Sends a message: a string as text, bytes as binary. Bytes accepted; -1: accepted, but the peer reads slowly, so wait for
   * {@link drained} or the `drain` handler; 0: not sent, the connection has ended or `limits.sendBuffer` is reached.
   *
   * @throws TypeError ERR_SLUICE_INVALID_ARG for what is neither string nor bytes
   */
  override send(data: Bytes, options?: SendOptions): number {
    const socket = this.#socket
    if (socket.handle < 0) return 0
    const bytes = bytesOf(data)
    const isText = typeof bytes === 'string'
    const { commands, compress } = socket.host
    const kind = options === undefined ? (isText ? Opcode.TEXT : Opcode.BINARY) | SendFlag.FIN | compress : sendKind(isText, compress, options)
    const sent = commands.send(socket.handle, bytes, kind)
    if (sent <= 0) socket.sent(sent)
    return sent
  }

  /** Sends a ping of at most 125 bytes; the core sends its own for the heartbeat. @throws RangeError ERR_SLUICE_INVALID_ARG */
  ping(data: Bytes = ''): number {
    return this.#control(Opcode.PING, data)
  }

  /** Sends a pong that nobody has asked for; pings are answered by the core. @throws RangeError ERR_SLUICE_INVALID_ARG above 125 bytes */
  pong(data: Bytes = ''): number {
    return this.#control(Opcode.PONG, data)
  }

  /** From now on it gets what is published to these topics. False when it has ended, or has as many as it may have. */
  subscribe(...topics: string[]): boolean {
    return changeChannels(this.#socket, ChannelKind.TOPIC, topics, true)
  }

  unsubscribe(...topics: string[]): boolean {
    return changeChannels(this.#socket, ChannelKind.TOPIC, topics, false)
  }

  /** What it is subscribed to. */
  get topics(): string[] {
    const { handle, host } = this.#socket
    return handle < 0 ? [] : host.commands.channels(handle, ChannelKind.TOPIC)
  }

  /** Publishes to all subscribers of a topic but this one; how many that are. `server.publish()` spares nobody. */
  publish(topic: string, data: Bytes, options?: Pick<SendOptions, 'binary' | 'compress'>): number {
    const { handle, host, id } = this.#socket
    if (handle < 0) return 0
    const bytes = bytesOf(data)
    return host.commands.publish(ChannelKind.TOPIC, channelName('topic', topic), bytes, sendKind(typeof bytes === 'string', host.compress, options ?? {}), id)
  }

  /**
   * Begins the closing handshake; what was sent before goes out first. `close` follows when the peer has answered, or after
   * `closeTimeout`. Messages that come from now on are dropped.
   *
   * @throws RangeError ERR_SLUICE_INVALID_ARG for a code that no server may send (1000–1003, 1007–1014 and 3000–4999 are), or a reason above 123 bytes
   */
  override close(code = 1000, reason = ''): void {
    if (this.#socket.handle < 0) return
    checkClose(code, reason)
    this.#socket.end(code, reason)
  }

  /** Drops the connection at once, and what waits to be sent: the peer sees 1006. */
  terminate(): void {
    this.#socket.cut()
  }

  #request(): HandshakeRequest {
    if (this.#handshake !== null) return this.#handshake
    const { handle, host } = this.#socket
    const handshake = HandshakeRequest.parse(handle < 0 ? null : host.commands.handshake(handle))
    this.#handshake = handshake
    return handshake
  }

  #control(opcode: number, data: Bytes): number {
    const { handle, host } = this.#socket
    if (handle < 0) return 0
    const bytes = bytesOf(data)
    const length = Buffer.byteLength(bytes)
    if (length > CONTROL_BYTES_MAX) throw sluiceRangeError('ERR_SLUICE_INVALID_ARG', `A ping or pong must have at most ${CONTROL_BYTES_MAX} bytes, got ${length}`)
    return host.commands.send(handle, bytes, opcode | SendFlag.FIN)
  }
}
