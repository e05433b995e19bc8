/**
 * How a server is started. `createServer()` and `serve({ app })` run the application in worker threads under supervision;
 * `serve(app)` with functions runs them on the calling thread.
 *
 * What starts a server is imported when one is started: an application that imports `sluice` in a worker does not wait for it.
 */
import { sluiceError, sluiceTypeError } from './errors.ts'
import type { App } from './app.ts'
import type { Config, ResolvedConfig } from './options.ts'
import type { Server } from './process/api.ts'
import type { MasterConfig } from './process/master.ts'
import { running } from './process/running.ts'

export type * from './process/api.ts'

/** The address as Bun and Deno spell it; short for {@link Config.listen}. */
export interface Address {
  /** 0 picks a free port. @default 5200 */
  port?: number
  /** @default '127.0.0.1' */
  host?: string
  /** Another name for `host`. */
  hostname?: string
}

/** Options beside handlers. Everything of {@link Config} but the module to load. */
export interface ServeOptions extends Omit<Config, 'app'>, Address {}
/** Handlers and options in one object. */
export type ServeInline = ServeOptions & Pick<App, 'fetch' | 'error' | 'websocket'>
/** An application in worker threads. */
export interface ServeModule extends Config, Address {
  /** The module that every worker imports. */
  app: string | URL
}

/**
 * Starts a server that runs `config.app` in worker threads. The calling thread becomes the master. Settles when all workers serve.
 * @throws ERR_SLUICE_INVALID_OPTION, ERR_SLUICE_LISTEN, ERR_SLUICE_WORKER_START; nothing is left running then
 */
export async function createServer(config: Config | ResolvedConfig): Promise<Server> {
  const [{ parseConfig }, { Master }] = await Promise.all([import('./options.ts'), import('./process/master.ts')])
  const resolved = parseConfig(config)
  if (!namesApp(resolved)) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', '`app` is missing: the path or file: URL of the module that every worker imports')
  const server = new Master(resolved)
  await server.start()
  return server
}

/**
 * Starts a server.
 *
 * - `serve({ app: new URL('./app.js', import.meta.url), workers: 2 })`: worker threads, as {@link createServer};
 * - `serve({ port: 0, fetch(request) { … } })` or `serve(app, { port: 0 })`: inline, the calling thread is the only worker.
 *   `app` is what {@link resolveApp} takes: an object with `fetch`, a module, or the function itself.
 *
 * @throws ERR_SLUICE_INVALID_ARG when there is nothing that could handle a request, and as {@link createServer}
 */
export function serve(options: ServeModule | ServeInline): Promise<Server>
export function serve(app: unknown, options?: ServeOptions): Promise<Server>
export async function serve(app: unknown, options?: ServeOptions): Promise<Server> {
  if (options === undefined && isPlainObject(app)) {
    if ('app' in app) {
      const { port, host, hostname, ...config } = app
      return createServer({ ...config, ...listenOf({ port, host, hostname }, config['listen']) } as Config)
    }
    const { fetch, error, websocket, ...rest } = app
    const parts = { ...(fetch !== undefined && { fetch }), ...(error !== undefined && { error }), ...(websocket !== undefined && { websocket }) }
    return startInline(parts, rest)
  }
  return startInline(app, { ...options })
}

/**
 * The running server, in any thread of it: in an application module, `server.reload()`, `server.signal`, `server.postMessage()`.
 * Every use throws ERR_SLUICE_NOT_RUNNING where no server runs; the import itself does not.
 */
export const server: Server = new Proxy({} as Server, {
  get(_target, key) {
    const current = running()
    if (current === undefined) {
      // Asked by `await` and by the console of any object; neither is a use of the server.
      if (key === 'then' || typeof key === 'symbol') return undefined
      throw sluiceError('ERR_SLUICE_NOT_RUNNING', `\`server.${key}\` was used where no server runs; start one with serve() or \`sluice start\``)
    }
    const value: unknown = Reflect.get(current, key)
    return typeof value === 'function' ? value.bind(current) : value
  },
})

async function startInline(app: unknown, options: Record<string, unknown>): Promise<Server> {
  const [{ parseConfig }, { InlineServer }] = await Promise.all([import('./options.ts'), import('./process/inline-server.ts')])
  const { port, host, hostname, ...config } = options
  const inline = new InlineServer(app, parseConfig({ ...config, workers: 1, ...listenOf({ port, host, hostname }, config['listen']) }))
  await inline.start()
  return inline
}

/** The `listen` option that an address stands for; nothing when none was given. The values are checked with the other options. */
function listenOf({ port, host, hostname }: Record<'port' | 'host' | 'hostname', unknown>, listen: unknown): { listen?: unknown } {
  if (port === undefined && host === undefined && hostname === undefined) return {}
  if (listen !== undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', '`listen` and `port` or `host` cannot be given together')
  const name = host ?? hostname
  return { listen: { port: port ?? DEFAULT_PORT, ...(name !== undefined && { host: name }) } }
}

/** That of {@link Config.listen}. */
const DEFAULT_PORT = 5200

/** A literal: instances of frameworks have options of their own among their properties. */
function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function namesApp(config: ResolvedConfig): config is MasterConfig {
  return config.app !== undefined
}
