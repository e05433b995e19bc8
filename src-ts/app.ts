import { inspect } from 'node:util'
import type { Context } from './context.ts'
import { sluiceTypeError } from './errors.ts'
import type { PortProtocol } from './options.ts'
import type { AnyTcpHandlers } from './tcp/handlers.ts'
import type { UdpHandlers } from './udp.ts'
import { type AnyWebSocketHandlers, checkWebSocketHandlers } from './websocket/handlers.ts'

export type { Phase, Report, RequestSummary } from './http/report.ts'
export { type RuntimeOptions, startRuntime, type WorkerRuntime } from './http/runtime.ts'

type Awaitable<T> = T | Promise<T>

/** Functions around every request. With any of them, every handler is asynchronous. */
export interface RequestHooks {
  /** Before the handler. A `Request` takes the place of the received one, a `Response` is the answer. */
  requestReceived?(req: Request, ctx: Context): Awaitable<Request | Response | void>
  /** After the handler, before sending; also for an answer of `requestReceived`, not for error answers. A `Response` takes the answer's place. */
  responseGenerated?(req: Request, res: Response, ctx: Context): Awaitable<Response | void>
}

/** An application. */
export interface App {
  /** Answers a request. Without it, every request is answered with 404. */
  fetch?(req: Request, ctx: Context): Awaitable<Response | void>
  /** Answers for a handler or hook that threw. Without it: 500, or 413 for ERR_SLUICE_BODY_TOO_LARGE. */
  error?(error: unknown, req: Request, ctx: Context): Awaitable<Response>
  readonly hooks?: RequestHooks
  /** What it does with WebSockets. */
  readonly websocket?: AnyWebSocketHandlers
  /** What it does with the ports of the configuration, by their names. An HTTP port that is not named here is the app's own. */
  readonly ports?: Readonly<Record<string, PortHandlers>>
}

/** What may stand in `App.ports`: an app for an HTTP port, handlers for a WebSocket or a TCP port, for the packets of a UDP port. */
export type PortHandlers = Omit<App, 'ports'> | NonNullable<App['fetch']> | AnyWebSocketHandlers | AnyTcpHandlers | UdpHandlers

/** A port with what handles it. */
export interface HandledPort {
  readonly protocol: PortProtocol
  /** Of a port without requests: an app that does nothing. */
  readonly app: App
  /** Of a TCP port. */
  readonly tcp?: AnyTcpHandlers
  /** Of a UDP port. */
  readonly udp?: UdpHandlers
}

/** Gives `app` back; for the types of its handlers. */
export function defineApp(app: App): App {
  return app
}

/**
 * The app in what a module exports: an object with `fetch`, the default export of a namespace, or a `fetch` function.
 *
 * @throws TypeError ERR_SLUICE_INVALID_ARG, saying what was found
 */
export function resolveApp(exported: unknown): App {
  const found = isObject(exported) && 'default' in exported && !('fetch' in exported) && !('websocket' in exported) && !('ports' in exported) ? exported.default : exported
  if (typeof found === 'function' && !('fetch' in found)) return { fetch: found as NonNullable<App['fetch']> }
  if (!(isObject(found) || typeof found === 'function')) throw notAnApp(found)
  const { fetch, error, hooks, ports, websocket } = found as Record<keyof App, unknown>
  if (fetch !== undefined && typeof fetch !== 'function') throw notAnApp(found, `its \`fetch\` is ${kindOf(fetch)}`)
  if (error !== undefined && typeof error !== 'function' && fetch === undefined) throw notAnApp(found, `its \`error\` is ${kindOf(error)}`)
  if (fetch === undefined && error === undefined && hooks === undefined && ports === undefined && websocket === undefined) throw notAnApp(found)
  if (websocket !== undefined) checkWebSocketHandlers(websocket)
  if (ports !== undefined && !isObject(ports)) throw notAnApp(found, `its \`ports\` is ${kindOf(ports)}`)
  return found as App
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function notAnApp(found: unknown, why?: string): Error {
  const what = why ?? (isObject(found) && Object.keys(found).length > 0 ? `an object with ${Object.keys(found).slice(0, 8).join(', ')}` : kindOf(found))
  return sluiceTypeError('ERR_SLUICE_INVALID_ARG', `An app must be a \`fetch\` function or an object with one, as the default export; got ${what}`)
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  return typeof value === 'object' ? inspect(value, { depth: 0, breakLength: Infinity }).slice(0, 100) : `a ${typeof value}`
}
