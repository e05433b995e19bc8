/** What a TLS handshake has come to. */
export interface TlsInfo {
  readonly protocol: 'TLSv1.2' | 'TLSv1.3'
  /** The name in IANA's registry, such as `TLS_AES_128_GCM_SHA256`. */
  readonly cipher: string
  /** The host name that the client asked for (SNI). */
  readonly servername?: string | undefined
  /** The application protocol (ALPN). */
  readonly alpn?: string | undefined
  /** The client's certificate, DER, as `new X509Certificate()` of `node:crypto` takes it. */
  readonly peerCertificate?: Uint8Array | undefined
  /** One of the port's `ca` has signed the client's certificate, and it was valid when the client came. */
  readonly authorized: boolean
}

/** The same as the core writes it. */
export type TlsRecord = Omit<TlsInfo, 'peerCertificate'> & { readonly peerCertificate?: string }

/** Reads what the core says of a connection's TLS. */
export function tlsInfoOf(record: TlsRecord | undefined): TlsInfo | undefined {
  if (record?.peerCertificate === undefined) return record as TlsInfo | undefined
  return { ...record, peerCertificate: Buffer.from(record.peerCertificate, 'base64') }
}
