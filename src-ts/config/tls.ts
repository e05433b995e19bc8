import { resolve } from 'node:path'
import type { PortProtocol, ResolvedTls, Tls, TlsIdentity } from '../options.ts'

/** PEM, as the core takes it. */
export type PemSource = { readonly file: string } | { readonly text: string }

/**
 * The `tls` of a port with its defaults.
 *
 * `option` is where the user wrote it: the core reads the certificates, and its messages begin with that.
 */
export function resolveTls(tls: Tls, option: string, spoken: readonly string[], root: string): ResolvedTls {
  const { ca, requestCert = false, rejectUnauthorized = true, minVersion = 'TLSv1.2', alpn = spoken, sni = {}, watch = true } = tls
  const identity = ({ cert, key }: TlsIdentity) => ({ cert: pemSource(cert, root), key: pemSource(key, root) })
  return {
    option,
    ...identity(tls),
    ca: ca === undefined ? undefined : pemSource(ca, root),
    requestCert,
    rejectUnauthorized,
    minVersion,
    alpn: [...alpn],
    sni: Object.fromEntries(Object.entries(sni).map(([name, named]) => [name, identity(named)])),
    watch,
  }
}

/** What is spoken on a port, for clients that ask by ALPN. */
export function spokenOn(protocol: PortProtocol, http2: boolean): readonly string[] {
  if (protocol !== 'http' && protocol !== 'websocket') return []
  return http2 ? ['h2', 'http/1.1'] : ['http/1.1']
}

/** Text with the beginning of PEM in it is PEM; any other names a file. */
function pemSource(given: string | Uint8Array, root: string): PemSource {
  const text = typeof given === 'string' ? given : Buffer.from(given.buffer, given.byteOffset, given.byteLength).toString('latin1')
  return typeof given !== 'string' || text.includes('-----BEGIN ') ? { text } : { file: resolve(root, text) }
}
