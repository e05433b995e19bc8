import type { NativeConnections, NativePush } from '../../src-ts/native.ts'

/** A call about one connection, as the core would see it. */
export interface ConnectionCall {
  readonly call: string
  /** -1 where the call names none. */
  readonly handle: number
  /** What else it was given, in order; bytes as a copy. */
  readonly args: readonly unknown[]
}

/** What `upgrade` and `eventStream` were called with. */
export interface Opening {
  readonly lane: number
  readonly index: number
  readonly generation: number
  readonly headers: string
  readonly protocol: string
  readonly settings: Uint8Array
  readonly state: Buffer | null
  /** The JSON of an event stream; '' for an upgrade. */
  readonly options: string
}

/** What the fake core knows of a connection that is attached. */
export interface FakeConnection {
  readonly id: number
  isOpen: boolean
  buffered: number
  state: Buffer | undefined
  uid: string | null
  readonly channels: readonly [topics: Set<string>, groups: Set<string>]
}

/** The calls about connections of a core that is not there: notes every one, and answers from a few maps. */
export abstract class FakeConnections implements NativeConnections, NativePush {
  readonly connectionCalls: ConnectionCall[] = []
  readonly openings: Opening[] = []
  /** By handle. */
  readonly attached = new Map<number, FakeConnection>()
  /** Out-of-line payloads, by `slot/sequence`. */
  readonly messages = new Map<string, Buffer>()
  /** What the last `resumeConnection` of a handle named as the next message. */
  readonly resumedAt = new Map<number, number>()
  /** What `replyPacket` and `sendTo` answer. */
  sendsPackets = true
  /** Ids that cannot be attached any more. */
  readonly missing = new Set<number>()
  /** States that connections have when they are attached, by id. */
  readonly states = new Map<number, Buffer>()
  /** What `send` and `pushTo` answer. */
  sendResult: (bytes: number) => number = (bytes) => bytes
  handshake: string | null = JSON.stringify({ protocol: 'chat.v1', url: '/live?room=1', headers: [['host', 'example.test'], ['cookie', 'a=1']], compressed: false })
  /** What `connectionById` answers. */
  details: string | null = null
  /** What the calls that count answer. */
  receivers = 0
  ids: number[] = []
  kinds = new Map<number, number>()
  /** Exchanges that are gone. */
  abstract readonly gone: Set<number>
  protected abstract noted(call: string): void

  /** The calls of one name. */
  callsOf(...names: string[]): ConnectionCall[] {
    return this.connectionCalls.filter(({ call }) => names.includes(call))
  }

  /** Names and handles of the calls since the last time this was asked, without the harmless ones. */
  takeCalls(): string[] {
    const taken = this.connectionCalls.splice(0)
    return taken.filter(({ call }) => call !== 'isConnectionOpen').map(({ call, args }) => [call, ...args.filter((arg) => typeof arg !== 'object')].join(' '))
  }

  /** Calls of tasks that were begun and ended, in order. */
  readonly taskCalls: string[] = []

  beginCall(_worker: number, id: number): boolean {
    this.taskCalls.push(`begin ${id}`)
    return true
  }

  endCall(_worker: number, id: number, outcome: number): boolean {
    this.taskCalls.push(`end ${id} ${outcome}`)
    return true
  }

  callProgress(_worker: number, id: number): boolean {
    this.taskCalls.push(`progress ${id}`)
    return true
  }

  takeParcel(): undefined {
    return undefined
  }

  replyPacket(_worker: number, lane: number, meta: number, peer: number, local: number, address: Uint8Array | null, data: string | Uint8Array): boolean {
    return this.#packet('replyPacket', lane, meta, peer, local, address && Buffer.from(address), typeof data === 'string' ? data : Buffer.from(data))
  }

  returnPacket(_worker: number, lane: number, record: Uint8Array): boolean {
    return this.#packet('returnPacket', lane, Buffer.from(record))
  }

  pausePackets(_worker: number, lane: number, port: number, yes: boolean): boolean {
    return this.#packet('pausePackets', lane, port, yes)
  }

  sendTo(server: number, worker: number, port: number, address: string, udpPort: number, data: string | Uint8Array): boolean {
    return this.#packet('sendTo', server, worker, port, address, udpPort, typeof data === 'string' ? data : Buffer.from(data))
  }

  #packet(call: string, ...args: unknown[]): boolean {
    this.noted(call)
    this.connectionCalls.push({ call, handle: -1, args })
    return this.sendsPackets
  }

  upgrade(_worker: number, lane: number, index: number, generation: number, headers: string, protocol: string, settings: Uint8Array, state: Uint8Array | null): boolean {
    this.noted('upgrade')
    if (this.gone.has(index)) return false
    this.openings.push({ lane, index, generation, headers, protocol, settings: settings.slice(), state: state && Buffer.from(state), options: '' })
    return true
  }

  eventStream(_worker: number, lane: number, index: number, generation: number, headers: string, options: string): boolean {
    this.noted('eventStream')
    if (this.gone.has(index)) return false
    this.openings.push({ lane, index, generation, headers, protocol: '', settings: new Uint8Array(), state: null, options })
    return true
  }

  attachConnection(_worker: number, id: number): number {
    if (this.missing.has(id)) return -1
    let handle = 0
    while (this.attached.has(handle)) handle++
    this.attached.set(handle, { id, isOpen: true, buffered: 0, state: this.states.get(id), uid: null, channels: [new Set(), new Set()] })
    return handle
  }

  detachConnection(_worker: number, handle: number): void {
    this.#note('detachConnection', handle)
    this.attached.delete(handle)
  }

  send(_worker: number, handle: number, data: string | Uint8Array, kind: number): number {
    this.#note('send', handle, data, kind)
    return this.attached.get(handle)?.isOpen === true ? this.sendResult(Buffer.byteLength(data)) : 0
  }

  bufferedAmount(_worker: number, handle: number): number {
    return this.attached.get(handle)?.buffered ?? 0
  }

  isConnectionOpen(_worker: number, handle: number): boolean {
    this.#note('isConnectionOpen', handle)
    return this.attached.get(handle)?.isOpen ?? false
  }

  closeConnection(_worker: number, handle: number, code: number, reason: string): boolean {
    this.#note('closeConnection', handle, code, reason)
    return this.#end(handle)
  }

  terminateConnection(_worker: number, handle: number): boolean {
    this.#note('terminateConnection', handle)
    return this.#end(handle)
  }

  pauseConnection(_worker: number, handle: number): void {
    this.#note('pauseConnection', handle)
  }

  resumeConnection(_worker: number, handle: number, next: number): void {
    this.#note('resumeConnection', handle, next)
    this.resumedAt.set(handle, next)
  }

  returnMessage(_worker: number, handle: number, sequence: number, word: number, code: number, data: Uint8Array): void {
    this.#note('returnMessage', handle, sequence, word, code, data)
  }

  release(_worker: number, handle: number, next: number): void {
    this.#note('release', handle, next)
  }

  settled(_worker: number, handle: number, next: number): void {
    this.#note('settled', handle, next)
  }

  protectConnection(_worker: number, handle: number, yes: boolean): void {
    this.#note('protectConnection', handle, yes)
  }

  takeMessage(_worker: number, _lane: number, slot: number, sequence: number): Buffer | undefined {
    const key = `${slot}/${sequence}`
    const message = this.messages.get(key)
    this.messages.delete(key)
    return message
  }

  joinChannel(_worker: number, handle: number, kind: number, name: string): boolean {
    this.#note('joinChannel', handle, kind, name)
    const connection = this.attached.get(handle)
    connection?.channels[kind as 0 | 1].add(name)
    return connection !== undefined
  }

  leaveChannel(_worker: number, handle: number, kind: number, name: string): boolean {
    this.#note('leaveChannel', handle, kind, name)
    return this.attached.get(handle)?.channels[kind as 0 | 1].delete(name) ?? false
  }

  channelsOf(_worker: number, handle: number, kind: number): string {
    return JSON.stringify([...(this.attached.get(handle)?.channels[kind as 0 | 1] ?? [])])
  }

  bindUid(_worker: number, handle: number, uid: string | null): boolean {
    this.#note('bindUid', handle, uid)
    const connection = this.attached.get(handle)
    if (connection !== undefined) connection.uid = uid
    return connection !== undefined
  }

  setConnectionState(_worker: number, handle: number, state: Uint8Array | null): boolean {
    this.#note('setConnectionState', handle)
    const connection = this.attached.get(handle)
    if (connection !== undefined) connection.state = state === null ? undefined : Buffer.from(state)
    return connection !== undefined
  }

  connectionState(_worker: number, handle: number): Buffer | undefined {
    this.#note('connectionState', handle)
    return this.attached.get(handle)?.state
  }

  handshakeOf(_worker: number, handle: number): string | null {
    this.#note('handshakeOf', handle)
    return this.handshake
  }

  publish(server: number, worker: number, channelKind: number, name: string, data: string | Uint8Array, kind: number, flags: number, except: number): number {
    this.#note('publish', -1, server, worker, channelKind, name, data, kind, flags, except)
    return this.receivers
  }

  broadcast(server: number, worker: number, options: string, data: string | Uint8Array, kind: number, flags: number): number {
    this.#note('broadcast', -1, server, worker, options, data, kind, flags)
    return this.receivers
  }

  pushTo(server: number, worker: number, id: number, data: string | Uint8Array, kind: number): number {
    this.#note('pushTo', -1, server, worker, id, data, kind)
    return this.kinds.has(id) ? this.sendResult(Buffer.byteLength(data)) : 0
  }

  closeById(server: number, worker: number, id: number, code: number, reason: string, terminate: boolean): boolean {
    this.#note('closeById', -1, server, worker, id, code, reason, terminate)
    return this.kinds.has(id)
  }

  kick(server: number, worker: number, target: string, code: number, reason: string): number {
    this.#note('kick', -1, server, worker, target, code, reason)
    return this.receivers
  }

  bindUidById(server: number, id: number, uid: string | null): boolean {
    this.#note('bindUidById', -1, server, id, uid)
    return this.kinds.has(id)
  }

  connectionById(server: number, worker: number, id: number): string | null {
    this.#note('connectionById', -1, server, worker, id)
    return this.details
  }

  connectionKind(_server: number, id: number): number {
    return this.kinds.get(id) ?? 0
  }

  connectionIds(server: number, port: number, after: number, limit: number): Float64Array {
    this.#note('connectionIds', -1, server, port, after, limit)
    return Float64Array.from(this.ids.filter((id) => id > after).slice(0, limit))
  }

  connectionCount(_server: number, _port: number): number {
    return this.ids.length
  }

  channelSize(server: number, kind: number, name: string): number {
    this.#note('channelSize', -1, server, kind, name)
    return this.receivers
  }

  pauseAccept(server: number, port: number, pause: boolean): boolean {
    this.#note('pauseAccept', -1, server, port, pause)
    return true
  }

  portStats(server: number, port: number): string | null {
    this.#note('portStats', -1, server, port)
    return this.details
  }

  #end(handle: number): boolean {
    const connection = this.attached.get(handle)
    if (connection?.isOpen !== true) return false
    connection.isOpen = false
    return true
  }

  #note(call: string, handle: number, ...args: unknown[]): void {
    this.noted(call)
    this.connectionCalls.push({ call, handle, args: args.map((arg) => (arg instanceof Uint8Array ? Buffer.from(arg) : arg)) })
  }
}
