import type { BinaryType } from './client-options.ts'

/** The events of a `WebSocketClient` by name. */
export interface WebSocketClientEvents {
  open: Event
  message: WebSocketMessageEvent
  error: WebSocketErrorEvent
  close: WebSocketCloseEvent
  reconnecting: WebSocketReconnectingEvent
  drain: Event
}

/** A message; the `MessageEvent` of the standard, made cheap: `data` is converted when it is read. */
export class WebSocketMessageEvent extends Event {
  readonly lastEventId: string = ''
  readonly source: null = null
  readonly ports: readonly [] = []
  /** Where it came from, such as `ws://127.0.0.1:5200`. */
  readonly origin: string
  readonly #binaryType: BinaryType
  readonly #received: string | Buffer
  #data: string | Blob | ArrayBuffer | Buffer | undefined

  constructor(received: string | Buffer, binaryType: BinaryType, origin: string) {
    super('message')
    this.#received = received
    this.#binaryType = binaryType
    this.origin = origin
  }

  /** A text message as a string, a binary one as the `binaryType` at its arrival says. The same object every time. */
  get data(): string | Blob | ArrayBuffer | Buffer {
    return (this.#data ??= typeof this.#received === 'string' ? this.#received : converted(this.#received, this.#binaryType))
  }
}

function converted(bytes: Buffer, binaryType: BinaryType): Blob | ArrayBuffer | Buffer {
  if (binaryType === 'nodebuffer') return bytes
  // What came from the network is memory of this thread alone.
  if (binaryType === 'blob') return new Blob([bytes as Buffer<ArrayBuffer>])
  const copy = new ArrayBuffer(bytes.length)
  bytes.copy(new Uint8Array(copy))
  return copy
}

/** The end of the client; the `CloseEvent` of the standard, which Node.js has as a global only from 23 on. */
export class WebSocketCloseEvent extends Event {
  /** The code the server sent or echoed; 1005 if it sent none, 1006 if there was no closing handshake. */
  readonly code: number
  readonly reason: string
  /** Whether the closing handshake was completed. */
  readonly wasClean: boolean

  constructor({ code, reason, wasClean }: { code: number; reason: string; wasClean: boolean }) {
    super('close')
    this.code = code
    this.reason = reason
    this.wasClean = wasClean
  }
}

/** Why the connection failed; `close` follows at once. */
export class WebSocketErrorEvent extends Event {
  readonly error: Error
  readonly message: string
  /** The HTTP status of an answer that was not 101. */
  readonly status: number | undefined

  constructor(error: Error, status: number | undefined) {
    super('error')
    this.error = error
    this.message = error.message
    this.status = status
  }
}

/** The connection is lost and another will be tried after `delay`. */
export class WebSocketReconnectingEvent extends Event {
  /** Number of the try to come, from 1; anew after a connection that lasted. */
  readonly attempt: number
  /** Milliseconds until then. */
  readonly delay: number
  /** How the connection before it ended, as in {@link WebSocketCloseEvent}. */
  readonly code: number
  readonly reason: string
  /** What went wrong, if it was more than a closing handshake. */
  readonly error: Error | undefined

  constructor({ attempt, delay, code, reason, error }: { attempt: number; delay: number; code: number; reason: string; error: Error | undefined }) {
    super('reconnecting')
    this.attempt = attempt
    this.delay = delay
    this.code = code
    this.reason = reason
    this.error = error
  }
}

// Node's types without those of the DOM have no names for these.
/** What `addEventListener()` takes as a listener. */
export type Listener = Parameters<EventTarget['addEventListener']>[1]
export type ListenerOptions = Parameters<EventTarget['addEventListener']>[2]
export type ListenerRemoval = Parameters<EventTarget['removeEventListener']>[2]

type HandlerName = Exclude<keyof WebSocketClientEvents, 'reconnecting' | 'drain'>

/** The `on…` attributes of an event target: one listener per event, in the place of the first that was set. */
export class HandlerAttributes {
  readonly #target: EventTarget
  readonly #set = new Map<HandlerName, { handler: (event: never) => void; readonly listener: (event: Event) => void }>()

  constructor(target: EventTarget) {
    this.#target = target
  }

  read<K extends HandlerName>(type: K): ((event: WebSocketClientEvents[K]) => void) | null {
    return (this.#set.get(type)?.handler as ((event: WebSocketClientEvents[K]) => void) | undefined) ?? null
  }

  /** Anything but a function removes the handler, as in the standard. */
  write<K extends HandlerName>(type: K, handler: ((event: WebSocketClientEvents[K]) => void) | null): void {
    const entry = this.#set.get(type)
    if (typeof handler !== 'function') {
      if (entry !== undefined) this.#target.removeEventListener(type, entry.listener)
      this.#set.delete(type)
    } else if (entry !== undefined) {
      entry.handler = handler
    } else {
      const made = { handler, listener: (event: Event): void => Reflect.apply(made.handler, this.#target, [event as never]) as void }
      this.#set.set(type, made)
      this.#target.addEventListener(type, made.listener)
    }
  }
}
