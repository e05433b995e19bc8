/** How the server notices that a peer is gone, and how it leaves those alone that are not. */
import test from 'ava'
import { defineWebSocket, type App, type CloseInfo, type WebSocketConn } from 'sluice'

import { RawClient } from '../support/raw-client.ts'
import { portOf } from '../support/server.ts'
import { inline, inTime, LiveClient } from './live-client.ts'

const HANDSHAKE = 'GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

/** Handlers that tell how the first connection ends. */
function noting(open?: (ws: WebSocketConn) => void): { app: App; closed: Promise<CloseInfo> } {
  let tell!: (info: CloseInfo) => void
  const closed = new Promise<CloseInfo>((resolve) => (tell = resolve))
  return {
    closed,
    app: { websocket: defineWebSocket({ ...(open && { open }), message: (ws, data) => void ws.send(data), close: (_ws, info) => tell(info) }) },
  }
}

/** A client that has shaken hands and answers nothing. */
async function mute(port: number): Promise<RawClient> {
  const raw = await RawClient.connect(port)
  raw.send(HANDSHAKE)
  if ((await raw.response()).status !== 101) throw new Error('the handshake was refused')
  return raw
}

test('who does not answer a ping is cut off, and the app hears that it was idle', async (t) => {
  const { app, closed } = noting()
  const server = await inline(t, app, { heartbeat: { ping: 30, pongTimeout: 60 } })
  const raw = await mute(portOf(server))
  t.like(await inTime('close', closed), { by: 'idle', code: 1006, clean: false })
  const { rest } = await raw.ended()
  // An empty ping, whole and unmasked, was the first it got.
  t.is(rest.subarray(0, 1).toString('hex'), '89')
})

test('who answers pings stays, without a message and for several rounds', async (t) => {
  const { app } = noting()
  const server = await inline(t, app, { heartbeat: { ping: 400, pongTimeout: 400 } })
  const client = await LiveClient.open(t, server)
  let pings = 0
  await inTime(
    'three pings',
    new Promise<void>((resolve) => {
      client.socket.on('ping', () => {
        if (++pings === 3) resolve()
      })
    }),
  )
  client.send('still here')
  t.is(await client.next(), 'still here')
})

test('a connection without a message for heartbeat.idle is closed with 1001, though it answers pings', async (t) => {
  const { app, closed } = noting()
  const server = await inline(t, app, { heartbeat: { ping: 20, pongTimeout: 5_000, idle: 150 } })
  const client = await LiveClient.open(t, server)
  t.is((await client.ending()).code, 1001)
  t.like(await inTime('close', closed), { by: 'idle', code: 1001 })
})

test('a protected connection is left alone', async (t) => {
  const { app } = noting((ws) => ws.protect())
  const server = await inline(t, app, { heartbeat: { ping: 20, pongTimeout: 20, idle: 40 } })
  const guarded = await LiveClient.open(t, server, { autoPong: false })
  // One that is not guarded lives and dies meanwhile, and again.
  const other = noting()
  const witness = await inline(t, other.app, { heartbeat: { ping: 20, pongTimeout: 40, idle: 80 } })
  for (let round = 0; round < 3; round++) {
    await (await mute(portOf(witness))).ended()
  }
  guarded.send('still here')
  t.is(await guarded.next(), 'still here')
  t.true(guarded.control.some((one) => one.startsWith('ping')))
})

test('with heartbeat.ping off there are no pings', async (t) => {
  const { app } = noting()
  const server = await inline(t, app, { heartbeat: { ping: false, pongTimeout: 10, idle: 300 } })
  const client = await LiveClient.open(t, server)
  t.is((await client.ending()).code, 1001)
  t.deepEqual(client.control, [])
})
