import { ChannelKind } from '../bridge/record.ts'
import { channelName, uidText } from '../websocket/channel-name.ts'
import { type SocketInfo, socketInfoOf } from '../websocket/connection-info.ts'
import type { Bytes } from '../websocket/payload.ts'
import { decodeState, encodeState } from '../websocket/state.ts'
import type { Socket } from './socket.ts'

/** A connection, as far as all kinds have it in common. */
export interface Connection<D = unknown, S = unknown> {
  /** Never reused while the server lives; what `server.send()` takes. */
  readonly id: number
  readonly isOpen: boolean
  /** Anything, in this worker: lost when another one adopts the connection. */
  data: D
  /** Held by the core: survives reload and crash. Assign to save; what is changed inside is not. */
  state: S
  info(): SocketInfo | undefined
  send(data: Bytes): number
  drained(signal?: AbortSignal): Promise<void>
  readonly bufferedAmount: number
  pause(): void
  resume(): void
  protect(yes?: boolean): void
  bind(uid: string | number | null): boolean
  join(...groups: string[]): boolean
  leave(...groups: string[]): boolean
  close(): void
  reset(): void
}

/**
 * What the kinds of connections share.
 *
 * A connection may end at any time, and another worker may get it; from then on every call here does nothing and gives 0, false or
 * undefined. Nothing throws because a peer has left.
 */
export abstract class SocketConnection<D, S> implements Connection<D, S> {
  data: D
  readonly #socket: Socket
  #state: S | undefined
  /** The state was read or written before. */
  #hasState: boolean

  constructor(socket: Socket) {
    // What it is at first only the app knows; without an `upgrade` that says it, undefined.
    this.data = undefined as D
    this.#socket = socket
    this.#state = undefined
    this.#hasState = false
  }

  abstract send(data: Bytes): number
  abstract close(): void

  get id(): number {
    return this.#socket.id
  }

  /** Whether something sent now has a chance to arrive: false from the beginning of its end. */
  get isOpen(): boolean {
    return this.#socket.isOpen
  }

  /**
   * @throws RangeError ERR_SLUICE_STATE_TOO_LARGE above 16 KiB (`v8.serialize`)
   * @throws TypeError ERR_SLUICE_INVALID_ARG for what structured clone cannot copy
   */
  get state(): S {
    if (!this.#hasState && this.#socket.handle >= 0) {
      this.#state = decodeState(this.#socket.host.commands.state(this.#socket.handle)) as S
      this.#hasState = true
    }
    return this.#state as S
  }

  set state(state: S) {
    const { handle, host } = this.#socket
    if (handle < 0) return
    host.commands.setState(handle, encodeState(state))
    this.#state = state
    this.#hasState = true
  }

  /** What the core knows of it now; undefined when it is gone. */
  info(): SocketInfo | undefined {
    const { handle, host, id } = this.#socket
    return handle < 0 ? undefined : socketInfoOf(host.commands.info(id))
  }

  /** Resolves when sending may go on after a `send()` that gave -1 or 0, or when the connection has ended. Rejects only with the reason of `signal`. */
  drained(signal?: AbortSignal): Promise<void> {
    return this.#socket.drained.wait(signal)
  }

  /** Bytes that wait to be sent. */
  get bufferedAmount(): number {
    const { handle, host } = this.#socket
    return handle < 0 ? 0 : host.commands.bufferedAmount(handle)
  }

  /** Stops the messages, and soon the peer. Its end is told after {@link resume}, too. */
  pause(): void {
    this.#socket.hold(true)
  }

  resume(): void {
    this.#socket.hold(false)
  }

  /** Exempts it from the heartbeat, or no longer. */
  protect(yes = true): void {
    const { handle, host } = this.#socket
    if (handle >= 0) host.commands.protect(handle, yes)
  }

  /** Says whose connection it is, for `server.sendToUid()`; null takes it back. One user may have many. @throws TypeError ERR_SLUICE_INVALID_ARG */
  bind(uid: string | number | null): boolean {
    const { handle, host } = this.#socket
    return handle >= 0 && host.commands.bind(handle, uid === null ? null : uidText(uid))
  }

  /** Puts it into groups, for `server.sendToGroup()`. False when it has ended, or is in as many as it may be. */
  join(...groups: string[]): boolean {
    return changeChannels(this.#socket, ChannelKind.GROUP, groups, true)
  }

  leave(...groups: string[]): boolean {
    return changeChannels(this.#socket, ChannelKind.GROUP, groups, false)
  }

  /** Drops the connection at once, and what waits to be sent. */
  reset(): void {
    this.#socket.cut()
  }
}

/** Puts a connection into channels, or takes it out. False when that could not be done with all. */
export function changeChannels({ handle, host }: Socket, kind: number, names: readonly string[], isIn: boolean): boolean {
  if (handle < 0) return false
  let done = true
  for (const name of names) {
    channelName(kind === ChannelKind.TOPIC ? 'topic' : 'group', name)
    done = (isIn ? host.commands.join(handle, kind, name) : host.commands.leave(handle, kind, name)) && done
  }
  return done
}
