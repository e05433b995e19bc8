import { Handshake } from '../bridge/record.ts'
import { type ConnectionName, Socket } from '../connection/socket.ts'
import type { Context } from '../context.ts'
import { runInContext } from '../context-store.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { Exchange, Outgoing } from '../http/exchange.ts'
import { fieldOf, handshakeOf, targetOf } from '../http/head.ts'
import type { FieldsInit, HeaderBlock } from '../http/header-block.ts'
import { SluiceRequest } from '../http/request.ts'
import { SluiceResponse, takeoverResponse } from '../http/response.ts'
import { isResponse } from '../http/send.ts'
import { Takeover } from '../http/takeover.ts'
import { isThenable } from '../thenable.ts'
import type { AnyWebSocketHandlers, UpgradeOptions } from './handlers.ts'
import type { SocketPort } from './socket-port.ts'
import type { Opening, Sockets } from './sockets.ts'
import { encodeState } from './state.ts'

/** Fields that make up the handshake, which is the core's. */
const HANDSHAKE_FIELD = /^(?:connection|upgrade|content-length|transfer-encoding|sec-websocket-.*)$/i
const HANDSHAKE_LINE = /^(upgrade|sec-websocket-[^:]*): /m

/**
 * The answer that accepts a handshake, or refuses what is none: 426 for an ordinary request and for another version of the
 * protocol, 400 for a handshake that breaks the rules.
 *
 * @throws ERR_SLUICE_INVALID_STATE when the app has no `websocket` handlers for the port
 * @throws TypeError ERR_SLUICE_INVALID_ARG for a subprotocol that the client did not offer, a state that cannot be cloned, and fields that are the handshake's own
 * @throws RangeError ERR_SLUICE_STATE_TOO_LARGE
 */
export function upgradeResponse(exchange: Exchange, context: Context, sockets: Sockets, options: UpgradeOptions = {}, request?: Request): SluiceResponse {
  const port = sockets.ofPort(exchange.port)
  if (port === undefined) throw sluiceError('ERR_SLUICE_INVALID_STATE', 'ctx.upgrade() needs the `websocket` handlers of an app, and this one has none')
  const handshake = handshakeOf(exchange)
  if (handshake !== Handshake.VALID) return refusal(handshake)
  const { data, headers, protocol, state } = options
  const acceptance = new Acceptance(exchange, context, sockets, port, {
    request: request ?? (new SluiceRequest(exchange) as unknown as Request),
    data,
    state: encodeState(state),
    protocol: protocolFor(fieldOf(exchange, 'sec-websocket-protocol'), protocol, port.handlers),
  })
  return takeoverResponse(acceptance, 101, headers === undefined ? undefined : checkedFields(headers))
}

/** What the app is asked for the first time, when a request may be a handshake that is for its `websocket` handlers. */
export class HandshakeGate {
  readonly #handlers: AnyWebSocketHandlers
  readonly #sockets: Sockets
  readonly #hasFetch: boolean
  readonly #paths: readonly string[] | null

  constructor(handlers: AnyWebSocketHandlers, sockets: Sockets, hasFetch: boolean) {
    const { path } = handlers
    this.#handlers = handlers
    this.#sockets = sockets
    this.#hasFetch = hasFetch
    this.#paths = path === undefined ? null : typeof path === 'string' ? [path] : path
  }

  /** The answer to a request, or a promise of it; `fetch` asks the app as for any other request. */
  answer(request: Request, exchange: Exchange, context: Context, fetch: () => unknown): unknown {
    const handshake = handshakeOf(exchange)
    if (!this.#isMeant(exchange)) return fetch()
    // Without a path and without `upgrade`, it is `fetch` that knows which requests it wants to upgrade.
    if (this.#hasFetch && (handshake === Handshake.NONE || (this.#paths === null && this.#handlers.upgrade === undefined))) return fetch()
    if (handshake !== Handshake.VALID) return refusal(handshake)
    if (this.#handlers.upgrade === undefined) return this.#accept(undefined, request, exchange, context)
    const given: unknown = this.#handlers.upgrade(request, context)
    return isThenable(given) ? given.then((later) => this.#accept(later, request, exchange, context)) : this.#accept(given, request, exchange, context)
  }

  #accept(given: unknown, request: Request, exchange: Exchange, context: Context): unknown {
    if (isResponse(given)) {
      if (given.status < 200 || given.status > 299) return given
      throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`upgrade\` must refuse with a status of 300 or above, got ${given.status}; to accept, return nothing or an object`)
    }
    if (given !== undefined && (typeof given !== 'object' || given === null)) throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `\`upgrade\` must give a Response, an object or nothing, got ${String(given)}`)
    return upgradeResponse(exchange, context, this.#sockets, given ?? {}, request)
  }

  #isMeant(exchange: Exchange): boolean {
    if (this.#paths === null) return true
    const path = pathOf(targetOf(exchange))
    return this.#paths.some((one) => (one.endsWith('*') ? path.startsWith(one.slice(0, -1)) : path === one))
  }
}

function pathOf(target: string): string {
  if (!target.startsWith('/')) return URL.canParse(target) ? new URL(target).pathname : ''
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

/** The way from the answer to the open connection. The request stays readable until `open` has settled. */
class Acceptance extends Takeover implements Opening, Outgoing {
  readonly #exchange: Exchange
  readonly #context: Context
  readonly #sockets: Sockets
  readonly #port: SocketPort
  readonly #parts: { readonly request: Request; readonly data: unknown; readonly state: Uint8Array | null; readonly protocol: string }
  #done: () => void = () => undefined

  constructor(exchange: Exchange, context: Context, sockets: Sockets, port: SocketPort, parts: { request: Request; data: unknown; state: Uint8Array | null; protocol: string }) {
    super()
    this.#exchange = exchange
    this.#context = context
    this.#sockets = sockets
    this.#port = port
    this.#parts = parts
  }

  override take(exchange: Exchange, block: HeaderBlock): Promise<void> | undefined {
    if (exchange !== this.#exchange) throw sluiceError('ERR_SLUICE_RESPONSE_SENT', 'The answer of ctx.upgrade() belongs to another request')
    const line = HANDSHAKE_LINE.exec(block.lines)
    if (line !== null) throw notTheirs(line[1]!)
    exchange.keep()
    const { protocol, state } = this.#parts
    if (!this.#sockets.commands.upgrade(exchange, block.lines, protocol, this.#port.settings, state)) return undefined
    this.#sockets.expect(exchange, this)
    exchange.outgoing = this
    return new Promise((resolve) => {
      this.#done = resolve
    })
  }

  opened(name: ConnectionName): void {
    this.#exchange.outgoing = null
    const { data, request } = this.#parts
    const socket = new Socket(this.#port.host, name, null)
    socket.conn.data = data
    this.#sockets.add(socket)
    const { open } = this.#port.handlers
    if (open === undefined) return this.#done()
    socket.open(() => runInContext(this.#context, () => open.call(this.#port.handlers, socket.conn, request, this.#context)), this.#done)
  }

  drained(): void {
    // Of a streamed answer, which this is not.
  }

  lost(): void {
    this.#sockets.cancel(this.#exchange, this)
    this.#done()
  }
}

/** The answer to a request that cannot be upgraded. */
function refusal(handshake: number): SluiceResponse {
  if (handshake === Handshake.MALFORMED) return new SluiceResponse('Bad WebSocket handshake\n', { status: 400 })
  const headers: Record<string, string> = { upgrade: 'websocket' }
  if (handshake === Handshake.OTHER_VERSION) headers['sec-websocket-version'] = '13'
  return new SluiceResponse('Upgrade Required\n', { status: 426, headers })
}

function protocolFor(field: string | null, wanted: string | undefined, { options }: AnyWebSocketHandlers): string {
  const offered = field === null ? [] : field.split(',').map((name) => name.trim())
  if (wanted === undefined) return options?.protocols?.find((name) => offered.includes(name)) ?? ''
  if (offered.includes(wanted)) return wanted
  throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The subprotocol must be one that the client offered (${offered.join(', ') || 'none'}), got ${JSON.stringify(wanted)}`)
}

function checkedFields(init: FieldsInit): [string, string][] {
  const fields = Symbol.iterator in init ? [...(init as Iterable<[string, string]>)] : Object.entries(init)
  for (const [name] of fields) if (HANDSHAKE_FIELD.test(String(name))) throw notTheirs(String(name))
  return fields as [string, string][]
}

function notTheirs(name: string): Error {
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `Header ${JSON.stringify(name)} of a WebSocket handshake is set by the server`)
}
