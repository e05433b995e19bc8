import type { NativePush, NativeWorker } from '../native.ts'
import type { Commands, ExchangeName } from './commands.ts'

/** What the core is asked about one connection. */
export type NativeSockets = NativeWorker & Pick<NativePush, 'publish' | 'connectionById'>

/**
 * The way up for connections that outlive their request. A handle of -1 names none; callers do not come here with it.
 *
 * After the worker has left the core every call does nothing and says so, as for a connection that has ended.
 */
export class SocketCommands {
  readonly #native: NativeSockets
  readonly #server: number
  readonly #worker: number
  readonly #commands: Commands

  constructor(native: NativeSockets, server: number, worker: number, commands: Commands) {
    this.#native = native
    this.#server = server
    this.#worker = worker
    this.#commands = commands
  }

  /** Accepts a handshake. False when the exchange is gone. */
  upgrade(to: ExchangeName, headers: string, protocol: string, settings: Uint8Array, state: Uint8Array | null): boolean {
    return this.#commands.announce() && this.#native.upgrade(this.#worker, to.lane.index, to.index, to.generation, headers, protocol, settings, state)
  }

  /** Answers with an event stream. False when the exchange is gone. */
  eventStream(to: ExchangeName, headers: string, options: string): boolean {
    return this.#commands.announce() && this.#native.eventStream(this.#worker, to.lane.index, to.index, to.generation, headers, options)
  }

  /** A handle; -1 when the connection is gone. */
  attach(id: number): number {
    return this.#commands.announce() ? this.#native.attachConnection(this.#worker, id) : -1
  }

  /** Gives the connection back to the core, and its handle. `next`: the first message that was not handled. */
  release(handle: number, next: number): void {
    if (!this.#commands.announce()) return
    this.#native.release(this.#worker, handle, next)
    this.#native.detachConnection(this.#worker, handle)
  }

  /** Bytes accepted; -1 accepted, and more waits than should; 0 not sent. */
  send(handle: number, data: string | Uint8Array, kind: number): number {
    return this.#commands.announce() ? this.#native.send(this.#worker, handle, data, kind) : 0
  }

  bufferedAmount(handle: number): number {
    return this.#commands.announce() ? this.#native.bufferedAmount(this.#worker, handle) : 0
  }

  isOpen(handle: number): boolean {
    return this.#commands.announce() && this.#native.isConnectionOpen(this.#worker, handle)
  }

  close(handle: number, code: number, reason: string): boolean {
    return this.#commands.announce() && this.#native.closeConnection(this.#worker, handle, code, reason)
  }

  terminate(handle: number): boolean {
    return this.#commands.announce() && this.#native.terminateConnection(this.#worker, handle)
  }

  /** No message comes any more. */
  pause(handle: number): void {
    if (this.#commands.announce()) this.#native.pauseConnection(this.#worker, handle)
  }

  /** Messages come again, beginning with `next`. */
  resume(handle: number, next: number): void {
    if (this.#commands.announce()) this.#native.resumeConnection(this.#worker, handle, next)
  }

  /** A message goes back, to come again. */
  return(handle: number, sequence: number, word: number, detail: number, payload: Uint8Array): void {
    if (this.#commands.announce()) this.#native.returnMessage(this.#worker, handle, sequence, word, detail, payload)
  }

  /** No handler of the connection runs. `next`: the first message that was not handled. */
  settled(handle: number, next: number): void {
    if (this.#commands.announce()) this.#native.settled(this.#worker, handle, next)
  }

  protect(handle: number, yes: boolean): void {
    if (this.#commands.announce()) this.#native.protectConnection(this.#worker, handle, yes)
  }

  /** The out-of-line payload of a message; undefined when it is gone. */
  takeMessage(lane: number, slot: number, sequence: number): Uint8Array | undefined {
    return this.#commands.announce() ? this.#native.takeMessage(this.#worker, lane, slot, sequence) : undefined
  }

  join(handle: number, kind: number, name: string): boolean {
    return this.#commands.announce() && this.#native.joinChannel(this.#worker, handle, kind, name)
  }

  leave(handle: number, kind: number, name: string): boolean {
    return this.#commands.announce() && this.#native.leaveChannel(this.#worker, handle, kind, name)
  }

  /** Names of its channels of one kind. */
  channels(handle: number, kind: number): string[] {
    return this.#commands.announce() ? (JSON.parse(this.#native.channelsOf(this.#worker, handle, kind)) as string[]) : []
  }

  bind(handle: number, uid: string | null): boolean {
    return this.#commands.announce() && this.#native.bindUid(this.#worker, handle, uid)
  }

  setState(handle: number, state: Uint8Array | null): boolean {
    return this.#commands.announce() && this.#native.setConnectionState(this.#worker, handle, state)
  }

  state(handle: number): Uint8Array | undefined {
    return this.#commands.announce() ? this.#native.connectionState(this.#worker, handle) : undefined
  }

  /** JSON of the handshake. */
  handshake(handle: number): string | null {
    return this.#commands.announce() ? this.#native.handshakeOf(this.#worker, handle) : null
  }

  /** To the members of a channel but `except`. */
  publish(kind: number, name: string, data: string | Uint8Array, sendKind: number, except: number): number {
    return this.#commands.announce() ? this.#native.publish(this.#server, this.#worker, kind, name, data, sendKind, 0, except) : 0
  }

  /** JSON of what is known of a connection. */
  info(id: number): string | null {
    return this.#commands.announce() ? this.#native.connectionById(this.#server, this.#worker, id) : null
  }
}
