/** WebSockets on streams of HTTP/2 (RFC 8441), with a client that makes its frames by hand. */
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import type { Server } from 'sluice'

import { request } from '../support/http2-client.ts'
import { startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/http2.mjs', import.meta.url))

async function open(t: ExecutionContext, server: Server): Promise<ClientHttp2Session> {
  const session = connect(server.port().url)
  t.teardown(() => session.destroy())
  session.on('error', () => undefined)
  const [settings] = (await once(session, 'remoteSettings')) as [{ enableConnectProtocol?: boolean }]
  t.true(settings.enableConnectProtocol, 'the server says that it can')
  return session
}

const handshake = (session: ClientHttp2Session, path: string, headers: Record<string, string> = {}): ClientHttp2Stream =>
  session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':path': path, ':authority': 'a', 'sec-websocket-version': '13', ...headers }, { endStream: false })

/** A frame with a mask of zeros, which changes nothing. */
const frame = (opcode: number, payload: string): Buffer => Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), Buffer.from(payload)])

/** The next bytes. */
async function read(stream: ClientHttp2Stream, length: number): Promise<Buffer> {
  for (;;) {
    const bytes = stream.read(length) as Buffer | null
    if (bytes !== null) return bytes
    await once(stream, 'readable')
  }
}

test('messages go both ways on a stream, beside requests and other sockets', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const session = await open(t, server)
  const sockets = [handshake(session, '/socket', { 'sec-websocket-protocol': 'chat' }), handshake(session, '/socket')]
  const heads = (await Promise.all(sockets.map((socket) => once(socket, 'response')))) as [Record<string, unknown>][]
  t.deepEqual(heads.map(([head]) => [head[':status'], head['sec-websocket-protocol'], head['sec-websocket-accept'], head['connection']]), [
    [200, 'chat', undefined, undefined],
    [200, undefined, undefined, undefined],
  ])
  const ids = new Set<string>()
  for (const socket of sockets) {
    socket.write(frame(1, 'hello'))
    const [flags, length] = await read(socket, 2)
    t.is(flags, 0x81)
    const text = String(await read(socket, length!))
    t.regex(text, /^\d+:hello$/)
    ids.add(text)
  }
  t.is(ids.size, 2, 'each has an id of its own')
  t.is((await request(session, '/')).status, 200)

  // A closing handshake ends the stream, not the connection.
  const [first, second] = sockets as [ClientHttp2Stream, ClientHttp2Stream]
  const ended = once(first, 'close')
  first.write(frame(8, ''))
  const close = await read(first, 2)
  t.is(close[0], 0x88)
  first.resume()
  first.end()
  await ended
  t.is(first.rstCode, 0)

  // The others survive a reload.
  t.true((await server.reload()).ok)
  second.write(frame(1, 'again'))
  const [, length] = await read(second, 2)
  t.regex(String(await read(second, length!)), /:again$/)
})

test('a handshake that the app refuses is answered as a request', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const session = await open(t, server)
  const socket = handshake(session, '/other')
  const [head] = (await once(socket, 'response')) as [Record<string, unknown>]
  t.true(Number(head[':status']) >= 200)
  t.not(head['sec-websocket-accept'], '')
  socket.on('error', () => undefined)
  socket.close()
  t.is((await request(session, '/')).status, 200)
})

test('CONNECT to anything else is refused', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const session = await open(t, server)
  const tunnel = session.request({ ':method': 'CONNECT', ':authority': 'example.com:443' })
  const [head] = (await once(tunnel, 'response')) as [Record<string, unknown>]
  t.is(head[':status'], 501)
  tunnel.on('error', () => undefined)
  tunnel.close()
  t.is((await request(session, '/')).status, 200)
})
