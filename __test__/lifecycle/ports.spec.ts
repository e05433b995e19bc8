/** Several ports with protocols, handlers and limits of their own, in one server. */
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { type Config, createServer, type Server } from 'sluice'
import { WebSocket } from 'ws'

import { startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/ports.mjs', import.meta.url))
const ports: Config['ports'] = {
  admin: { protocol: 'http', listen: { port: 0 }, limits: { bodyBytes: 10 } },
  other: { protocol: 'http', listen: { port: 0 } },
  push: { protocol: 'websocket', listen: { port: 0 }, limits: { message: 8 } },
}

const start = (t: ExecutionContext): Promise<Server> => startServer(t, { app, workers: 1, ports })

/** What comes back for a message, or the code that the connection is closed with. */
async function echoed(server: Server, port: string, message: string): Promise<string | number> {
  const socket = new WebSocket(server.port(port).url.replace('http', 'ws'))
  try {
    return await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send(message))
      socket.on('message', (data) => resolve(String(data)))
      socket.on('close', resolve)
      socket.on('error', reject)
    })
  } finally {
    socket.terminate()
  }
}

const text = async (server: Server, port: string, init?: RequestInit): Promise<string> => (await fetch(server.port(port).url, init)).text()

test('every port has its own handlers, and those without are served by the app', async (t) => {
  const server = await start(t)
  t.deepEqual(server.ports.map(({ name, protocol, index }) => [name, protocol, index]), [['main', 'http', 0], ['admin', 'http', 1], ['other', 'http', 2], ['push', 'websocket', 3]])
  t.deepEqual([await text(server, 'main'), await text(server, 'admin'), await text(server, 'other')], ['main', 'admin', 'main'])
  t.is(await echoed(server, 'main', 'a'), 'main a')
  t.is(await echoed(server, 'other', 'a'), 'main a')
  t.is(await echoed(server, 'push', 'a'), 'push a')
})

test('a WebSocket port refuses what is no handshake', async (t) => {
  const server = await start(t)
  t.is((await fetch(server.port('push').url)).status, 426)
})

test('the limits of a port are its own', async (t) => {
  const server = await start(t)
  const post = { method: 'POST', body: 'x'.repeat(11) }
  t.is(await text(server, 'main', post), 'main 11')
  t.is((await fetch(server.port('admin').url, post)).status, 413)
  t.is(await echoed(server, 'main', '123456789'), 'main 123456789')
  t.is(await echoed(server, 'push', '123456789'), 1009)
})

test('handlers survive a reload on every port', async (t) => {
  const server = await start(t)
  const socket = new WebSocket(server.port('push').url.replace('http', 'ws'))
  t.teardown(() => socket.terminate())
  await new Promise((resolve) => socket.on('open', resolve))
  t.true((await server.reload()).ok)
  const answer = new Promise((resolve) => socket.once('message', (data) => resolve(String(data))))
  socket.send('b')
  t.is(await answer, 'push b')
  t.is(await text(server, 'admin'), 'admin')
})

test('a start without handlers for a port fails, and says which', async (t) => {
  const error = await t.throwsAsync(createServer({ app: fileURLToPath(new URL('../fixtures/mortal.mjs', import.meta.url)), workers: 1, listen: { port: 0 }, stateDir: false, ports }))
  t.like(error, { code: 'ERR_SLUICE_WORKER_START' })
  t.regex(String((error?.cause as Error | undefined)?.message ?? error?.message), /Port `push` is for WebSockets/)
})
