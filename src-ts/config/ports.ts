import { resolve } from 'node:path'
import type * as v from 'valibot'
import type { ProxyRecord, ResolvedPort } from '../options.ts'
import { invalidOption, sourceText } from './explain.ts'
import { type configSchema, type portSchema, waterMarks, wrongMark } from './schema.ts'
import { resolveTls, spokenOn } from './tls.ts'

type Options = v.InferOutput<typeof configSchema>
type Port = v.InferOutput<typeof portSchema>

/** A record of the bridge names a port in 6 bits. */
const PORTS_MAX = 64

/**
 * All ports of a configuration: the addresses of `listen`, then `ports`, each with all that holds for it.
 *
 * `answerTimeout` is what the whole server has; a port's own limit of this name goes before it.
 * @throws ERR_SLUICE_INVALID_OPTION for too many or no ports, and marks that do not fit each other
 */
export function resolvePorts(options: Options, root: string, answerTimeout: number, source: string | undefined): ResolvedPort[] {
  const where = sourceText(source)
  const limits = { ...options.limits, answerTimeout }
  const main = options.listen.map((listen, index) => {
    const port: Port = { protocol: 'http', listen, limits: {}, heartbeat: {}, dispatch: undefined, http2: undefined, tcp: {}, framing: undefined, maxMessage: undefined, optional: false, proxy: {}, tls: listen.tls ?? options.tls !== undefined }
    return resolvePort(mainName(index), port, options.listen.length === 1 ? 'listen.tls' : `listen[${index}].tls`)
  })
  const named = Object.entries(options.ports).map(([name, port]) =>
    resolvePort(name, port, !('tls' in port && port.tls !== undefined) && port.listen.tls !== undefined ? `ports.${name}.listen.tls` : `ports.${name}.tls`),
  )
  const ports = [...main, ...named]
  if (ports.length === 0) throw invalidOption(`listen must have at least one address, or ports at least one port, got a list${where}`)
  if (ports.length > PORTS_MAX) throw invalidOption(`ports and listen must have at most ${PORTS_MAX} addresses together, got ${ports.length}${where}`)
  return ports

  function absolute(listen: ResolvedPort['listen']): ResolvedPort['listen'] {
    return 'path' in listen ? { ...listen, path: socketPath(root, listen.path) } : listen
  }

  function resolvePort(name: string, port: Port, tlsOption: string): ResolvedPort {
    if (port.protocol === 'udp') {
      const { protocol, listen: { tls, ...listen }, dispatch, optional, ...udp } = port
      if (tls !== undefined) throw invalidOption(`ports.${name}.listen.tls is for ports with connections, not for "udp"${where}`)
      // Without connections there is nothing that the rest could hold for.
      const { heartbeat, tcp } = options
      return { name, protocol, listen: absolute(listen), dispatch, optional, udp, limits: { ...limits, ...waterMarks(limits) }, heartbeat, tcp, framing: 'raw', http2: false, proxy: { trust: [], headers: 'x-forwarded', protocol: null }, tls: undefined }
    }
    for (const option of ['framing', 'maxMessage'] as const) {
      if (port[option] !== undefined && port.protocol !== 'tcp') throw invalidOption(`ports.${name}.${option} is for protocol "tcp", not for "${port.protocol}"${where}`)
    }
    const own = { ...limits, ...given(port.limits), ...given({ message: port.maxMessage }) }
    const wrong = wrongMark(own)
    if (wrong !== undefined) throw invalidOption(`ports.${name}.limits.lowWaterMark ${wrong.message}, got ${wrong.value}${where}`)
    const { tls: listenTls, ...listen } = port.listen
    const tls = port.tls ?? listenTls ?? false
    if (tls === true && options.tls === undefined) throw invalidOption(`${tlsOption} cannot be true without the \`tls\` of the whole server${where}`)
    const http2 = port.http2 ?? options.http2
    const spoken = spokenOn(port.protocol, http2)
    return {
      name,
      protocol: port.protocol,
      listen: absolute(listen),
      limits: { ...own, ...waterMarks(own) },
      heartbeat: { ...options.heartbeat, ...given(port.heartbeat) },
      dispatch: port.dispatch ?? options.dispatch,
      framing: port.framing ?? 'raw',
      http2,
      tcp: { ...options.tcp, ...given(port.tcp) },
      optional: port.optional,
      proxy: resolveProxy(name, port.proxy),
      tls: tls === false ? undefined : tls === true ? resolveTls(options.tls!, 'tls', spoken, root) : resolveTls(tls, tlsOption, spoken, root),
    }
  }

  function resolveProxy(name: string, own: v.InferOutput<typeof configSchema>['proxy']): ProxyRecord {
    const { trust = [], headers = 'x-forwarded', protocol = false } = { ...given(options.proxy), ...given(own) }
    if (protocol !== false && trust.length === 0) {
      const path = own.protocol === undefined ? 'proxy' : `ports.${name}.proxy`
      throw invalidOption(`${path}.protocol needs ${path}.trust, the peers that may send a PROXY header${where}`)
    }
    return { trust: [...trust], headers, protocol: protocol === false ? null : protocol }
  }
}

/** A name in Linux's abstract namespace, which begins with a NUL, is no path. */
function socketPath(root: string, path: string): string {
  return path.startsWith('\0') ? path : resolve(root, path)
}

/** What `server.port(name)` calls the addresses of `listen`: `main`, `main2`, … */
function mainName(index: number): string {
  return index === 0 ? 'main' : `main${index + 1}`
}

/** The members that say something. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
