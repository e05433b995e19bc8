/** A client of HTTP/2 with prior knowledge that ends with its test. */
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader, type OutgoingHttpHeaders } from 'node:http2'
import type { ExecutionContext } from 'ava'
import type { Server } from 'sluice'

import { portOf } from './server.ts'

export interface Http2Response {
  readonly status: number
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader
  readonly body: Buffer
  readonly text: string
}

/** A session with the server's first port. */
export async function openSession(t: ExecutionContext, server: Server, port: number = portOf(server)): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  session.on('error', () => undefined)
  await once(session, 'connect')
  return session
}

/** A request with its answer. Rejects when the stream breaks. */
export async function request(session: ClientHttp2Session, path: string, headers: OutgoingHttpHeaders = {}): Promise<Http2Response> {
  return responseOf(session.request({ ':path': path, ...headers }, { endStream: true }))
}

/** The same with a body. */
export async function post(session: ClientHttp2Session, path: string, body: Buffer | string, headers: OutgoingHttpHeaders = {}): Promise<Http2Response> {
  const stream = session.request({ ':path': path, ':method': 'POST', ...headers })
  stream.end(body)
  return responseOf(stream)
}

/** What comes on a stream. */
export function responseOf(stream: ClientHttp2Stream): Promise<Http2Response> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let head: (IncomingHttpHeaders & IncomingHttpStatusHeader) | undefined
    stream.on('response', (headers) => (head = headers))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', reject)
    stream.on('close', () => {
      if (head === undefined || stream.rstCode !== 0) return reject(new Error(`the stream ended with code ${stream.rstCode}, ${head === undefined ? 'without an answer' : 'in the middle of one'}`))
      const body = Buffer.concat(chunks)
      resolve({ status: head[':status'] ?? 0, headers: head, body, text: body.toString() })
    })
  })
}
