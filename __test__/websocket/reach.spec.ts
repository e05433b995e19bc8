/** Reaching connections from everywhere: from their own worker, from another one, and from the thread of the master. */
import test, { type ExecutionContext } from 'ava'
import type { Server } from 'sluice'

import { inline, inTime, LiveClient, realtime } from './live-client.ts'

const apps = {
  workers: (t: ExecutionContext) => realtime(t),
  inline: async (t: ExecutionContext) => {
    // The module is loaded once, and its server is whichever was started last: inline tests run one after the other.
    const { default: app } = (await import('../fixtures/realtime.mjs' as string)) as { default: unknown }
    return inline(t, app)
  },
}

/** Two clients of two different workers, where there are two. */
async function pair(t: ExecutionContext, server: Server): Promise<[a: LiveClient, b: LiveClient]> {
  const a = await LiveClient.open(t, server)
  if (server.worker !== undefined) return [a, await LiveClient.open(t, server)]
  const worker = await a.call('worker')
  for (let tries = 0; tries < 50; tries++) {
    const b = await LiveClient.open(t, server)
    if ((await b.call('worker')) !== worker) return [a, b]
    b.socket.terminate()
    await b.ending()
  }
  throw new Error('50 connections went to the same worker')
}

const idOf = async (client: LiveClient): Promise<number> => (await client.call('ws', 'id')) as number

for (const [where, start] of Object.entries(apps)) {
  const run = where === 'inline' ? test.serial : test
  const everywhere = (title: string, body: (t: ExecutionContext, server: Server) => Promise<void>): void => {
    run(`${title}, ${where}`, async (t) => body(t, await start(t)))
  }

  everywhere('push() reaches a connection by its id, from any thread', async (t, server) => {
    const [a, b] = await pair(t, server)
    const [idA, idB] = [await idOf(a), await idOf(b)]
    t.not(idA, idB)
    t.is(await a.call('server', 'push', idB, 'from a'), 6)
    t.is(await b.next(), 'from a')
    t.is(server.push(idA, 'from the master'), 15)
    t.is(await a.next(), 'from the master')
    t.is(server.send(idA, Buffer.from([1, 2])), 2)
    t.deepEqual(await a.next(), Buffer.from([1, 2]))
    t.is(server.push(idA, 'as binary', { binary: true }), 9)
    t.deepEqual(await a.next(), Buffer.from('as binary'))
    t.is(await a.call('server', 'push', idA, 'to myself'), 9)
    t.is(await a.next(), 'to myself')
    b.socket.close()
    await b.ending()
    t.is(await a.call('server', 'push', 2 ** 50, 'nobody'), 0)
    t.is(server.push(2 ** 50, 'nobody'), 0)
  })

  everywhere('messages of one sender arrive in their order, also mixed with those of others', async (t, server) => {
    const [a, b] = await pair(t, server)
    const idB = await idOf(b)
    await b.call('ws', 'subscribe', 'news')
    const each = 200
    for (let count = 0; count < each; count++) {
      a.send(`!${JSON.stringify(['server', 'push', idB, `push ${count}`])}`)
      a.send(`!${JSON.stringify(['ws', 'publish', 'news', `publish ${count}`])}`)
      server.push(idB, `master ${count}`)
      b.send(`own ${count}`)
    }
    const got = (await b.take(4 * each)) as string[]
    for (const sender of ['master', 'own']) {
      t.deepEqual(got.filter((one) => one.startsWith(sender)), Array.from({ length: each }, (_, count) => `${sender} ${count}`))
    }
    // Push and publish of one thread to one connection keep their order among each other, too.
    t.deepEqual(got.filter((one) => one.startsWith('pu')), Array.from({ length: each }, (_, count) => [`push ${count}`, `publish ${count}`]).flat())
  })

  everywhere('publish() reaches subscribers of a topic, and spares who is excepted', async (t, server) => {
    const [a, b] = await pair(t, server)
    const c = await LiveClient.open(t, server)
    for (const client of [a, b]) t.true(await client.call('ws', 'subscribe', 'news', 'other'))
    t.deepEqual(((await a.call('ws', 'topics')) as string[]).toSorted(), ['news', 'other'])
    t.is(await c.call('ws', 'publish', 'news', 'to both'), 2)
    t.is(await a.call('ws', 'publish', 'news', 'to b'), 1)
    t.is(server.publish('news', 'to all'), 2)
    t.is(server.publish('news', 'not to a', { except: await idOf(a) }), 1)
    t.is(server.publish('nothing', 'x'), 0)
    t.is(server.subscribers('news'), 2)
    t.is(await c.call('server', 'subscribers', 'news'), 2)
    t.true(await b.call('ws', 'unsubscribe', 'news'))
    t.is(server.subscribers('news'), 1)
    t.is(await c.call('ws', 'publish', 'other', 'last'), 2)
    const gotB = await b.take(5)
    t.deepEqual(new Set(gotB), new Set(['to both', 'to b', 'to all', 'not to a', 'last']))
    const gotA = await a.take(3)
    t.deepEqual(new Set(gotA), new Set(['to both', 'to all', 'last']))
    await c.settled()
    t.is(c.waiting, 0)
  })

  everywhere('uids and groups name many connections, and one connection many times', async (t, server) => {
    const [a, b] = await pair(t, server)
    t.true(await a.call('ws', 'bind', 7))
    t.true(await b.call('ws', 'bind', '7'))
    t.true(server.isUidOnline(7))
    t.is(server.sendToUid('7', 'to both'), 2)
    t.deepEqual([await a.next(), await b.next()], ['to both', 'to both'])
    t.true(server.bindUid(await idOf(b), 'bob'))
    t.is(await a.call('server', 'sendToUid', 'bob', 'to b'), 1)
    t.is(await b.next(), 'to b')
    t.true(await a.call('ws', 'bind', null))
    t.false(server.isUidOnline(7))
    t.is(server.sendToUid(7, 'to nobody'), 0)

    t.true(await a.call('ws', 'join', 'red', 'blue'))
    t.true(await b.call('ws', 'join', 'blue'))
    t.is(server.sendToGroup('blue', 'blue'), 2)
    t.is(server.sendToGroup('red', 'red'), 1)
    t.is(await b.call('server', 'sendToGroup', 'blue', 'but b', { except: [await idOf(b)] }), 1)
    t.deepEqual(await a.take(3), ['blue', 'red', 'but b'])
    t.is(await b.next(), 'blue')
    t.true(await a.call('ws', 'leave', 'blue'))
    t.is(server.sendToGroup('blue', 'only b'), 1)
    t.is(await b.next(), 'only b')
  })

  everywhere('broadcast() reaches every WebSocket that fits', async (t, server) => {
    const [a, b] = await pair(t, server)
    await a.call('ws', 'bind', 'ann')
    await b.call('ws', 'join', 'red')
    t.is(server.broadcast('all'), 2)
    t.is(await a.call('server', 'broadcast', 'but a', { except: [await idOf(a)] }), 1)
    t.is(server.broadcast('ann', { uid: ['ann', 'nobody'] }), 1)
    t.is(server.broadcast('red', { group: 'red' }), 1)
    // Whoever is asked for by several things must fit them all.
    server.broadcast('nobody', { group: 'red', uid: ['ann'] })
    t.is(server.port().broadcast('port'), 2)
    t.is(await a.call('portBroadcast', 'port of a worker'), 2)
    const sorted = (list: unknown[]): string[] => (list as string[]).toSorted()
    t.deepEqual(sorted(await a.take(4)), sorted(['all', 'ann', 'port', 'port of a worker']))
    t.deepEqual(sorted(await b.take(5)), sorted(['all', 'but a', 'red', 'port', 'port of a worker']))
    t.throws(() => server.broadcast('x', { slow: 'never' as never }), { code: 'ERR_SLUICE_INVALID_ARG' })
  })

  everywhere('connections are found, counted and walked through', async (t, server) => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => LiveClient.open(t, server)))
    const ids = await Promise.all(clients.map(idOf))
    const sorted = ids.toSorted((a, b) => a - b)
    t.deepEqual([...server.connections], sorted)
    t.deepEqual([...server.port().connections], sorted)
    t.deepEqual(await clients[0]!.call('connections', 'iterate'), sorted)
    t.is(server.connections.size, 6)
    t.is(await clients[0]!.call('connections', 'size'), 6)
    t.deepEqual(server.connections.list(sorted[1], 2), sorted.slice(2, 4))
    t.deepEqual(server.connections.list(sorted[5]), [])
    t.true(server.connections.has(sorted[2]!))
    t.false(server.connections.has(sorted[5]! + 1000))
    t.true(server.exists(ids[0]!) && server.isEstablished(ids[0]!))
    t.true(await clients[1]!.call('server', 'isEstablished', ids[0]!))
    const first = clients[0]!
    await first.call('ws', 'bind', 'ann')
    await first.call('ws', 'join', 'red')
    await first.call('ws', 'subscribe', 'news')
    await first.call('ws', 'protect')
    const info = server.getConnection(ids[0]!)!
    t.like(info, { id: ids[0]!, kind: 'websocket', state: 'open', uid: 'ann', groups: ['red'], topics: ['news'], protected: true, remoteAddress: '127.0.0.1', family: 4, worker: (await first.call('worker')) as number })
    t.true(info.messagesIn >= 5 && info.messagesOut >= 4 && info.bytesIn > 100 && info.lastReceivedAt >= info.connectedAt, JSON.stringify(info))
    t.is(server.getConnection(ids[1]!)!.uid, undefined)
    t.deepEqual((await clients[1]!.call('server', 'getConnection', ids[0]!) as { groups: unknown }).groups, ['red'])
    t.is(((await first.call('ws', 'info')) as { id: number }).id, ids[0]!)

    const gone = clients[3]!
    gone.socket.close()
    await gone.ending()
    // Its end has been told once the worker has answered the handshake, and that is what the client has seen.
    t.is(server.push(ids[3]!, 'x'), 0)
    t.false(server.isEstablished(ids[3]!))
    t.throws(() => server.push(0, 'x'), { code: 'ERR_SLUICE_INVALID_ARG' })
    t.throws(() => server.exists(1.5), { code: 'ERR_SLUICE_INVALID_ARG' })
  })

  everywhere('connections are closed from anywhere, by id, uid or group', async (t, server) => {
    const [a, b] = await pair(t, server)
    const [c, d] = [await LiveClient.open(t, server), await LiveClient.open(t, server)]
    const ids = { a: await idOf(a), b: await idOf(b), c: await idOf(c), d: await idOf(d) }
    t.true(await b.call('server', 'close', ids.a, 4001, 'by b'))
    t.deepEqual(await a.ending(), { code: 4001, reason: 'by b' })
    t.false(server.close(ids.a))
    await b.call('ws', 'bind', 7)
    await c.call('ws', 'join', 'red')
    t.is(server.kick({ uid: 7, group: 'red' }, 4002, 'kicked'), 2)
    t.deepEqual([await b.ending(), await c.ending()], [{ code: 4002, reason: 'kicked' }, { code: 4002, reason: 'kicked' }])
    t.is(server.kick({ uid: 7 }), 0)
    t.true(server.reset(ids.d))
    t.is((await d.ending()).code, 1006)
    t.throws(() => server.close(ids.d, 1005), { code: 'ERR_SLUICE_INVALID_ARG' })
    t.throws(() => server.kick({ id: ids.d }, 999), { code: 'ERR_SLUICE_INVALID_ARG' })
  })
}

test('what is published is compressed once for those who agreed to it, and plain for the others', async (t) => {
  const server = await realtime(t)
  const [plain, small] = [await LiveClient.open(t, server), await LiveClient.open(t, server, { perMessageDeflate: true })]
  for (const client of [plain, small]) await client.call('ws', 'subscribe', 'news')
  const text = 'the same again and again. '.repeat(4_000)
  const before = [plain, small].map((client) => bytesRead(client))
  t.is(server.publish('news', text), 2)
  t.deepEqual([await plain.next(), await small.next()], [text, text])
  const [asPlain, asSmall] = [bytesRead(plain) - before[0]!, bytesRead(small) - before[1]!]
  t.true(asPlain > text.length && asSmall < text.length / 20, `${asPlain} and ${asSmall} bytes`)
  server.publish('news', text, { compress: false })
  t.deepEqual([await plain.next(), await small.next()], [text, text])
  t.true(bytesRead(small) - before[1]! > text.length)
})

test('an answer is compressed for a client that agreed to it', async (t) => {
  const server = await realtime(t)
  const client = await LiveClient.open(t, server, { perMessageDeflate: true })
  const before = bytesRead(client)
  const text = 'x'.repeat(100_000)
  client.send(text)
  t.is(await client.next(), text)
  t.true(bytesRead(client) - before < 5_000)
})

test('slow receivers miss, get the last, or are cut off, as the policy says, and nobody else notices', async (t) => {
  const server = await realtime(t, { limits: { sendBuffer: 256 * 1024 } })
  const policies = ['queue', 'drop', 'latest', 'close'] as const
  const clients = new Map<string, LiveClient>()
  for (const policy of policies) {
    const client = await LiveClient.open(t, server, { path: `/live?name=${policy}` })
    await client.call('ws', 'subscribe', policy)
    client.socket.pause()
    clients.set(policy, client)
  }
  const quick = await LiveClient.open(t, server)
  for (const policy of policies) await quick.call('ws', 'subscribe', policy)
  const count = 400
  const payload = 'x'.repeat(64 * 1024)
  for (let index = 0; index < count; index++) {
    for (const policy of policies) {
      const message = `${policy} ${index} ${payload}`
      server.publish(policy, message, { slow: policy, compress: false })
      t.is(await quick.next(), message)
    }
  }
  for (const client of clients.values()) client.socket.resume()
  t.is((await clients.get('close')!.ending()).code, 1006)
  for (const policy of ['queue', 'drop', 'latest']) {
    const client = clients.get(policy)!
    server.publish(policy, `${policy} end`)
    const got: number[] = []
    for (let message = (await client.next()) as string; !message.endsWith(' end'); message = (await client.next()) as string) got.push(Number(message.split(' ')[1]))
    t.true(got.length < count, `${policy} missed none of ${count}`)
    t.deepEqual(got, got.toSorted((a, b) => a - b), 'in their order')
    if (policy === 'latest') t.is(got.at(-1), count - 1)
    else t.not(got.at(-1), count - 1)
  }
})

test('what is retained comes to who subscribes later, the last one only', async (t) => {
  const server = await realtime(t)
  server.publish('score', '1:0', { retain: true })
  server.publish('score', '2:0', { retain: true })
  server.publish('score', 'not kept')
  const client = await LiveClient.open(t, server)
  await client.call('ws', 'subscribe', 'score')
  t.is(await client.next(), '2:0')
  await client.settled()
  t.is(client.waiting, 0)
})

test('everybody of two hundred gets every message, in order', async (t) => {
  const server = await realtime(t)
  const clients = await Promise.all(Array.from({ length: 200 }, () => LiveClient.open(t, server)))
  await Promise.all(clients.map((client) => client.call('ws', 'subscribe', 'all')))
  t.is(server.subscribers('all'), 200)
  for (let round = 0; round < 5; round++) t.is(server.publish('all', `round ${round}`), 200)
  for (const client of clients) t.deepEqual(await client.take(5), ['round 0', 'round 1', 'round 2', 'round 3', 'round 4'])
  for (const client of clients) client.socket.terminate()
  await inTime('the end of all', Promise.all(clients.map((client) => client.ending())))
})

test('after its end a server reaches nobody, and sending does not throw', async (t) => {
  const server = await realtime(t, { workers: 1 })
  const client = await LiveClient.open(t, server)
  const id = await idOf(client)
  await server.shutdown()
  t.is((await client.ending()).code, 1001)
  t.is(server.push(id, 'x'), 0)
  t.is(server.publish('news', 'x'), 0)
  t.is(server.sendToUid('ann', 'x'), 0)
  t.is(server.sendToGroup('red', 'x'), 0)
})

/** Bytes that have come over the socket of a client. */
function bytesRead(client: LiveClient): number {
  return (client.socket as unknown as { _socket: { bytesRead: number } })._socket.bytesRead
}
