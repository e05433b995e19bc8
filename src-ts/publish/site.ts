import { sluiceError, sluiceTypeError } from '../errors.ts'
import type { ResolvedConfig } from '../options.ts'
import { shownSocket } from '../port.ts'

/** What a proxy in front of the server has to know of it. */
export interface Site {
  /** For the names of upstreams: letters, digits and `_`. */
  readonly id: string
  /** The host name that clients use; undefined: any. */
  readonly serverName: string | undefined
  /** The server's own addresses for the app, then those of further servers. */
  readonly upstreams: readonly Upstream[]
  /** Ports for WebSockets only, each below a path of its own. */
  readonly sockets: readonly SocketPort[]
  /** Ports that are not for the public as far as anybody can tell: `name protocol`. */
  readonly unpublished: readonly string[]
  /** How long the proxy must be patient with a silent server, in seconds: longer than the server is itself. */
  readonly patience: number
  /** How long the proxy may keep an idle connection, in seconds: shorter than the server does. */
  readonly idle: number
  /** Longest request body that is read as a whole, in bytes. */
  readonly bodyBytes: number
  readonly static: ResolvedConfig['static']
  /** Where the server looks for the client's address. */
  readonly headers: ResolvedConfig['ports'][number]['proxy']['headers']
}

/** One address, as a connection to it is opened. */
export type Upstream = ({ readonly host: string; readonly port: number } | { readonly path: string }) & {
  readonly secure: boolean
  /** The version of the PROXY header that it expects first. */
  readonly proxy?: 'v1' | 'v2'
}

export interface SocketPort {
  readonly id: string
  readonly path: string
  readonly upstream: Upstream
}

/** A port as `sluice info` tells it: `http://127.0.0.1:5200`, `https://[::1]:5200`, `unix:/run/app.sock`, `unix:@name`. */
export interface PortFacts {
  readonly name: string
  readonly protocol: string
  readonly url: string
  /** Whether it speaks TLS; needed where the URL does not tell. */
  readonly tls?: boolean | undefined
  readonly error?: string | undefined
}

/** Further words on the command line. */
export interface SiteOptions {
  readonly serverName?: string | undefined
  /** Addresses of further servers of the same app: `host:port` or the path of a socket. */
  readonly upstreams?: readonly string[] | undefined
}

/** What the server waits longer than it promises, and what crosses the network meanwhile, in seconds. */
const MARGIN_S = 5
/** The patience with a server that has no limit itself, in seconds. */
const DAY_S = 86_400

/**
 * The site of a configuration. `ports`: those of the running server, with the numbers that the system gave; else those of the configuration.
 * @throws ERR_SLUICE_INVALID_OPTION for names and addresses that cannot be written down, ERR_SLUICE_NOT_RUNNING for a port whose address only a start decides
 */
export function siteOf(config: ResolvedConfig, ports: readonly PortFacts[], { serverName, upstreams = [] }: SiteOptions = {}): Site {
  if (serverName !== undefined && !/^[\w*.-]{1,253}$/.test(serverName)) throw unusable(`--server-name must be a host name, got ${JSON.stringify(serverName)}`)
  const bound = ports.filter(({ error }) => error === undefined)
  const isMain = ({ name }: PortFacts): boolean => /^main\d*$/.test(name)
  const proxied = (port: PortFacts): Upstream => {
    const protocol = config.ports.find(({ name }) => name === port.name)?.proxy.protocol ?? null
    return { ...upstreamOf(port), ...(protocol !== null && { proxy: protocol === 'v1' ? 'v1' : 'v2' }) }
  }
  const all = bound.filter(isMain).map(proxied)
  // In front of a server that speaks both, the proxy spares itself a second TLS, and headers that it may not be able to send.
  const plain = all.filter(({ proxy, secure }) => !secure && proxy === undefined)
  const own = plain.length > 0 ? plain : all
  const sockets = bound.filter(({ protocol }) => protocol === 'websocket')
  const site: Site = {
    id: `sluice_${identifier(config.name ?? 'app')}`,
    serverName,
    upstreams: [...own, ...upstreams.map((text) => ({ ...parseUpstream(text, own[0]?.secure ?? false), ...(own[0]?.proxy && { proxy: own[0].proxy }) }))],
    sockets: sockets.map((port) => ({ id: `sluice_${identifier(config.name ?? 'app')}_${identifier(port.name)}`, path: `/${encodeURIComponent(port.name)}`, upstream: proxied(port) })),
    unpublished: bound.filter((port) => !isMain(port) && !sockets.includes(port)).map(({ name, protocol }) => `${name} (${protocol})`),
    patience: patienceOf(config),
    idle: Math.max(1, Math.floor(Math.min(60_000, ...config.ports.map(({ limits }) => limits.keepAliveTimeout - MARGIN_S * 1000)) / 1000)),
    bodyBytes: Math.max(0, ...config.ports.map(({ limits }) => limits.bodyBytes)),
    static: config.static,
    headers: config.ports.find(({ name }) => name === 'main')?.proxy.headers ?? 'x-forwarded',
  }
  if (site.upstreams.length === 0) throw unusable('There is no address to publish: `listen` is empty, or nothing of it is bound')
  return site
}

/** Longer than the longest silence that the server allows itself: an answer on its way, or a connection between two pings. */
function patienceOf({ ports }: ResolvedConfig): number {
  const silences = ports.flatMap(({ heartbeat, limits }) => [
    limits.answerTimeout === 0 ? DAY_S : (limits.queueTimeout + limits.answerTimeout) / 1000,
    heartbeat.ping === 0 ? DAY_S : (heartbeat.ping + heartbeat.pongTimeout) / 1000,
  ])
  return Math.min(DAY_S, Math.ceil(Math.max(0, ...silences)) + MARGIN_S)
}

function upstreamOf({ name, tls = false, url }: PortFacts): Upstream {
  if (url.startsWith('unix:')) return { path: checkedPath(url.slice('unix:'.length)), secure: tls }
  if (url.startsWith('fd:')) throw sluiceError('ERR_SLUICE_NOT_RUNNING', `Port "${name}" has an inherited socket: its address is known when the server runs`)
  const { hostname, port, protocol } = new URL(url)
  const secure = tls || protocol === 'https:'
  const number = port === '' ? (secure ? 443 : 80) : Number(port)
  if (number === 0) throw sluiceError('ERR_SLUICE_NOT_RUNNING', `Port "${name}" takes a free number: it is known when the server runs`)
  return { host: reachable(hostname), port: number, secure }
}

function parseUpstream(text: string, secure: boolean): Upstream {
  if (text.startsWith('/')) return { path: checkedPath(text), secure }
  const [, host, port] = /^([\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})$/.exec(text) ?? []
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) throw unusable(`--upstream must be host:port or the path of a socket, got ${JSON.stringify(text)}`)
  return { host, port: Number(port), secure }
}

/** Every address of this machine is reached by its loopback address; a name could be the other family. */
function reachable(host: string): string {
  if (host === 'localhost' || host === '0.0.0.0') return '127.0.0.1'
  return host === '[::]' ? '[::1]' : host
}

/** What the configuration languages can quote. */
function checkedPath(path: string): string {
  const shown = shownSocket(path)
  if (/^[\x20-\x7e\u0080-\u{10ffff}]+$/u.test(shown) && !/["'\\$|{}#]/.test(shown)) return shown
  throw unusable(`The path ${JSON.stringify(path)} cannot be written into the configuration of a proxy`)
}

function identifier(name: string): string {
  return name.replaceAll(/\W/g, '_')
}

const unusable = (message: string): TypeError => sluiceTypeError('ERR_SLUICE_INVALID_OPTION', message)

/** `host:port`; of a socket its path. */
export function addressText(upstream: Upstream): string {
  return 'path' in upstream ? upstream.path : `${upstream.host}:${upstream.port}`
}

/** For a proxy that sends no PROXY header to HTTP servers. @throws ERR_SLUICE_INVALID_OPTION when a port expects one */
export function refuseProxied({ sockets, upstreams }: Site, proxy: string): void {
  const expecting = [...upstreams, ...sockets.map(({ upstream }) => upstream)].find((upstream) => upstream.proxy !== undefined)
  if (expecting !== undefined) throw unusable(`${addressText(expecting)} expects a PROXY header (\`proxy.protocol\`), which ${proxy} cannot send; HAProxy can`)
}

/** The comments that every configuration begins with. */
export function preface(site: Site, proxy: string, where: string): string[] {
  return [
    `# Made by \`sluice publish ${proxy}\`: ${where}`,
    '# TLS is left to you. The server believes the X-Forwarded-* headers only of the peers in its option `proxy.trust`.',
    ...(site.headers === 'forwarded' ? ['# The option `proxy.headers` is "forwarded", a field that is not written here: make it "x-forwarded".'] : []),
    ...site.unpublished.map((port) => `# Not published: the port ${port}.`),
  ]
}
