import { BlockList, isIP } from 'node:net'
import type { ConnectionInfo } from '../context.ts'
import type { ForwardedHeaders, ProxyRecord } from '../options.ts'

/** Reads a field of the request, several of one name joined with commas; null when there is none. */
type Fields = (name: string) => string | null

/** Who asked, as proxies that are trusted say. What they say nothing of is undefined. */
export interface Forwarded {
  /** The client's address. */
  readonly ip: string | undefined
  /** Its port; 0 when it is not known. */
  readonly port: number
  readonly scheme: 'http' | 'https' | undefined
  /** Host and port that the client asked for. */
  readonly host: string | undefined
  /** The addresses from the client to the last proxy before our peer. */
  readonly chain: readonly string[]
}

/** One step: for whom a proxy has forwarded, and what that one had asked for. */
interface Hop {
  readonly address: string
  readonly port: number
  readonly scheme?: string | undefined
  readonly host?: string | undefined
}

/** More steps than any chain of proxies has; what is left of them is not looked at. */
const HOPS_MAX = 64

const SCHEMES: Readonly<Record<string, 'http' | 'https'>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' }
/** What may stand in a URL as host and port: no user name, no path. */
const HOST = /^(?:[\w.~%!$&'()*+,;=-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i

/** The peers of a port that speak for others, and where they do it. */
export class Proxies {
  readonly #trusted = new BlockList()
  readonly #trustsUnix: boolean
  readonly #headers: ForwardedHeaders

  constructor({ headers, trust }: ProxyRecord) {
    this.#headers = headers
    this.#trustsUnix = trust.includes('unix')
    for (const entry of trust) {
      if (entry === 'unix') continue
      const [address = '', prefix] = entry.split('/')
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
      this.#trusted.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family)
    }
  }

  /** What is known of the client; null when the peer is the client. */
  read(field: Fields, { family, remoteAddress }: Pick<ConnectionInfo, 'family' | 'remoteAddress'>): Forwarded | null {
    // A connection of which nothing is known any more has no address, and is on no unix socket either.
    if (family === 'unix' ? !this.#trustsUnix : !this.trusts(remoteAddress)) return null
    switch (this.#headers) {
      case 'x-forwarded':
        return this.#readXForwarded(field)
      case 'forwarded':
        return this.#walk(parseForwarded(field('forwarded') ?? ''), undefined)
      case 'x-real':
        return readXReal(field)
    }
  }

  trusts(address: string): boolean {
    const kind = isIP(address)
    return kind !== 0 && this.#trusted.check(address, kind === 6 ? 'ipv6' : 'ipv4')
  }

  #readXForwarded(field: Fields): Forwarded | null {
    const addresses = listOf(field('x-forwarded-for'))
    const [schemes, hosts] = [listOf(field('x-forwarded-proto')), listOf(field('x-forwarded-host'))]
    // Where every proxy adds its own, they belong together; where not, the nearest proxy has set the only or last one.
    const beside = (list: readonly string[], index: number): string | undefined => (list.length === addresses.length ? list[index] : list.at(-1))
    const hops = addresses.map((text, index): Hop => ({ ...parseNode(text), scheme: beside(schemes, index), host: beside(hosts, index) }))
    const port = field('x-forwarded-port')?.trim()
    if (hops.length > 0) return this.#walk(hops, port)
    const scheme = SCHEMES[schemes.at(-1)?.toLowerCase() ?? '']
    const host = hostOf(hosts.at(-1), port, scheme)
    return scheme === undefined && host === undefined ? null : { ip: undefined, port: 0, scheme, host, chain: [] }
  }

  /** From our peer outwards, up to the first that is not trusted: what lies behind it is only its word. */
  #walk(hops: readonly Hop[], ownPort: string | undefined): Forwarded | null {
    let at = hops.length
    while (at > 0 && hops.length - at < HOPS_MAX) {
      const hop = hops[at - 1]!
      // "unknown", a made-up name or nonsense: the proxy after it is the last that is known.
      if (isIP(hop.address) === 0) break
      at--
      if (!this.trusts(hop.address)) break
    }
    const client = hops[at]
    if (client === undefined) return null
    const scheme = SCHEMES[client.scheme?.toLowerCase() ?? '']
    return { ip: client.address, port: client.port, scheme, host: hostOf(client.host, ownPort, scheme), chain: hops.slice(at).map(({ address }) => address) }
  }
}

function readXReal(field: Fields): Forwarded | null {
  const { address } = parseNode(field('x-real-ip')?.trim() ?? '')
  if (isIP(address) === 0) return null
  const port = field('x-real-port')?.trim() ?? ''
  const scheme = SCHEMES[field('scheme')?.trim().toLowerCase() ?? '']
  return { ip: address, port: portOf(port), scheme, host: undefined, chain: [address] }
}

/** The host as it may stand in a URL, with the port that was asked for, if it says none and it is not the scheme's own. */
function hostOf(host: string | undefined, port: string | undefined, scheme: 'http' | 'https' | undefined): string | undefined {
  if (host === undefined || !HOST.test(host)) return undefined
  const isUsual = port === undefined || portOf(port) === 0 || port === (scheme === 'https' ? '443' : '80')
  return isUsual || /:\d+$/.test(host) ? host : `${host}:${port}`
}

function listOf(field: string | null): string[] {
  return field === null || field.trim() === '' ? [] : field.split(',').map((text) => text.trim())
}

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; anything else as it is. */
function parseNode(text: string): { address: string; port: number } {
  const bracketed = /^\[([\da-f:.]+)\](?::(\d{1,5}))?$/i.exec(text)
  if (bracketed) return { address: canonical(bracketed[1]!), port: portOf(bracketed[2] ?? '') }
  const plain = /^([\d.]+):(\d{1,5})$/.exec(text)
  if (plain) return { address: plain[1]!, port: portOf(plain[2]!) }
  return { address: canonical(text), port: 0 }
}

/** IPv4 in IPv6's clothes is IPv4, as everywhere else here. */
function canonical(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  return mapped ? mapped[1]! : address
}

function portOf(text: string): number {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : 0
}

/** A pair of an element of `Forwarded` (RFC 7239, 4), or what stands between them. */
const PAIR = /\s*([!#$%&'*+.^`|~\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^`|~\w-]*))\s*(;|,|$)|\s*(,)/y

/** The elements in their order. What breaks the grammar ends a chain of trust: nothing before it is known. */
function parseForwarded(field: string): Hop[] {
  let hops: Hop[] = []
  let element: Record<string, string> = {}
  const close = (): void => {
    const { for: node, host, proto: scheme } = element
    hops.push({ ...parseNode(node ?? 'unknown'), scheme, host })
    element = {}
  }
  let at = 0
  while (at < field.length) {
    PAIR.lastIndex = at
    const match = PAIR.exec(field)
    if (match === null) {
      // Goes on behind the next comma.
      const comma = field.indexOf(',', at)
      hops = []
      element = {}
      if (comma < 0) return []
      at = comma + 1
      continue
    }
    at = PAIR.lastIndex
    const [, name, quoted, token, end] = match
    if (name !== undefined) element[name.toLowerCase()] = quoted === undefined ? (token ?? '') : quoted.replace(/\\(.)/g, '$1')
    if (end !== ';' && (name !== undefined || Object.keys(element).length > 0)) close()
  }
  if (Object.keys(element).length > 0) close()
  return hops
}
