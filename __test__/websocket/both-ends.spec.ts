/** Our client and our server with each other. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { WebSocketClient, type Server, type WebSocketClientOptions } from 'sluice'

import { portOf } from '../support/server.ts'
import { inTime, realtime, wsUrl } from './live-client.ts'

/** A client that is open, and what comes to it. */
async function connected(t: ExecutionContext, server: Server | string, options: WebSocketClientOptions = {}): Promise<{ client: WebSocketClient; messages: AsyncIterator<string | Uint8Array>; call(...what: unknown[]): Promise<unknown> }> {
  const client = new WebSocketClient(typeof server === 'string' ? server : wsUrl(server), options)
  t.teardown(() => client.terminate())
  const messages = client[Symbol.asyncIterator]()
  await inTime('a connection', new Promise((resolve, reject) => {
    client.addEventListener('open', resolve, { once: true })
    client.addEventListener('error', ({ error }) => reject(error as Error), { once: true })
  }))
  const call = async (...what: unknown[]): Promise<unknown> => {
    client.send(`!${JSON.stringify(what)}`)
    const { value } = await inTime('an answer', messages.next())
    if (typeof value !== 'string' || !value.startsWith('=')) throw new Error(`expected an answer, got ${String(value)}`)
    return JSON.parse(value.slice(1))
  }
  return { client, messages, call }
}

for (const perMessageDeflate of [false, true]) {
  test(`messages of every kind come back${perMessageDeflate ? ', compressed' : ''}`, async (t) => {
    const server = await realtime(t)
    const { client, messages } = await connected(t, server, { perMessageDeflate })
    for (const data of ['', 'naïve', new Uint8Array(0), Uint8Array.of(1, 2, 3), 'x'.repeat(300_000)]) {
      client.send(data)
      const { value } = await inTime('a message', messages.next())
      t.deepEqual(typeof value === 'string' ? value : new Uint8Array(value as Uint8Array), data)
    }
    t.true((await client.ping('hello')) >= 0)
  })
}

test('subprotocol and header fields reach the server', async (t) => {
  const server = await realtime(t)
  const { call, client } = await connected(t, server, { protocols: ['chat.v1'], headers: { 'x-mine': 'yes' } })
  t.is(client.protocol, 'chat.v1')
  t.is(await call('ws', 'protocol'), 'chat.v1')
  t.is(await call('header', 'x-mine'), 'yes')
})

test('a close of either side is seen by the other as it was said', async (t) => {
  const server = await realtime(t)
  const one = await connected(t, server)
  const id = (await one.call('ws', 'id')) as number
  const ended = new Promise((resolve) => one.client.addEventListener('close', ({ code, reason, wasClean }) => resolve({ code, reason, wasClean })))
  server.close(id, 4001, 'enough')
  t.deepEqual(await inTime('the end', ended), { code: 4001, reason: 'enough', wasClean: true })
  const other = await connected(t, server)
  const left = new Promise((resolve) => other.client.addEventListener('close', ({ code, wasClean }) => resolve({ code, wasClean })))
  other.client.close(4002, 'bye')
  t.deepEqual(await inTime('the end', left), { code: 4002, wasClean: true })
})

test('a refused handshake fails the client with the status', async (t) => {
  const server = await realtime(t)
  const client = new WebSocketClient(wsUrl(server, '/live?refuse'))
  const failed = new Promise<number | undefined>((resolve) => client.addEventListener('error', ({ status }) => resolve(status)))
  t.is(await inTime('an error', failed), 401)
})

test('a client whose connection was cut comes back, gets what it missed, and nothing twice', async (t) => {
  const server = await realtime(t)
  const wire = await Wire.to(t, server)
  const { call, client, messages } = await connected(t, wire.url, { reconnect: { min: 5, max: 50 } })
  await call('ws', 'subscribe', 'news')
  const id = (await call('ws', 'id')) as number
  const reopened = new Promise<boolean>((resolve) => client.addEventListener('open', () => resolve(client.resumed), { once: true }))
  const sent: string[] = []
  const publish = (count: number): void => {
    for (let index = 0; index < count; index++) {
      sent.push(`news ${sent.length}`)
      server.publish('news', sent.at(-1)!)
    }
  }
  publish(10)
  wire.cut()
  publish(10)
  t.true(await inTime('the client to come back', reopened), 'it goes on where it was')
  publish(10)
  const got: unknown[] = []
  while (got.length < sent.length) got.push((await inTime(`message ${got.length}`, messages.next())).value)
  t.deepEqual(got, sent)
  t.deepEqual(await call('ws', 'topics'), ['news'])
  t.not(await call('ws', 'id'), id)
})

test('a client that the server has cut off comes back each time', async (t) => {
  const server = await realtime(t)
  const { call, client } = await connected(t, server, { reconnect: { min: 5, max: 10 } })
  const id = (await call('ws', 'id')) as number
  for (let round = 0; round < 3; round++) {
    const reopened = new Promise((resolve) => client.addEventListener('open', resolve, { once: true }))
    server.reset(round === 0 ? id : ((await call('ws', 'id')) as number))
    await inTime('the client to come back', reopened)
    t.deepEqual(await call('ws', 'topics'), [])
  }
})

test('a client keeps its connection while the server is reloaded', async (t) => {
  const server = await realtime(t)
  const { call, client } = await connected(t, server)
  const id = await call('ws', 'id')
  t.true((await server.reload()).ok)
  t.is(await call('ws', 'id'), id)
  t.is(client.readyState, WebSocketClient.OPEN)
})

/** A wire between client and server that can be cut: both then see a connection that ended without a word. */
class Wire {
  readonly url: string
  readonly #sockets = new Set<Socket>()

  private constructor(url: string) {
    this.url = url
  }

  static async to(t: ExecutionContext, server: Server): Promise<Wire> {
    const relay = createServer()
    relay.listen(0, '127.0.0.1')
    await once(relay, 'listening')
    const wire = new Wire(`ws://127.0.0.1:${(relay.address() as AddressInfo).port}/live`)
    relay.on('connection', (near: Socket) => {
      const far = connect({ port: portOf(server), host: '127.0.0.1' })
      for (const [from, to] of [[near, far], [far, near]] as const) {
        wire.#sockets.add(from)
        from.on('error', () => undefined)
        from.on('close', () => {
          wire.#sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
    t.teardown(() => {
      wire.cut()
      relay.close()
    })
    return wire
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
