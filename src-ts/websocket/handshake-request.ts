import { nativeClasses } from '../http/native-classes.ts'

/** The request a WebSocket began with, kept by the core for whoever has the connection. */
export class HandshakeRequest {
  /** The absolute URL, as sent. */
  readonly url: string
  /** The subprotocol that was agreed on; '' when there is none. */
  readonly protocol: string
  /** With it the client can go on when the connection breaks; undefined when it cannot. */
  readonly resumeToken: string | undefined
  readonly #fields: [name: string, value: string][]
  #headers: Headers | null = null

  private constructor(url: string, protocol: string, fields: [string, string][], resumeToken?: string) {
    this.resumeToken = resumeToken
    this.url = url
    this.protocol = protocol
    this.#fields = fields
  }

  /** Reads what `handshakeOf` gives; null, of a connection that is gone, reads as an empty request. */
  static parse(json: string | null): HandshakeRequest {
    if (json === null) return new HandshakeRequest('', '', [])
    // Written by our own core, on this machine, a moment ago.
    const { headers, protocol, resumeToken, secure, url } = JSON.parse(json) as { protocol: string; url: string; secure?: boolean; headers: [string, string][]; resumeToken?: string }
    return new HandshakeRequest(absolute(url, secure === true ? 'https' : 'http', headers), protocol, headers, resumeToken)
  }

  get headers(): Headers {
    return (this.#headers ??= new (nativeClasses().Headers)(this.#fields))
  }
}

/** The URL of a request target: as that of the request was put together. */
function absolute(target: string, scheme: string, fields: readonly (readonly [name: string, value: string])[]): string {
  if (!target.startsWith('/')) return target
  const host = fields.find(([name]) => name.toLowerCase() === 'host')?.[1] ?? ''
  return `${scheme}://${host === '' ? 'localhost' : host}${target}`
}
