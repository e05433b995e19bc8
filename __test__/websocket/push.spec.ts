/** What the calls of a server that reach connections hand to the core, and what they refuse. */
import { inspect } from 'node:util'
import test from 'ava'
import { ChannelKind, Opcode, SendFlag } from '../../src-ts/bridge/record.ts'
import { portsFrom } from '../../src-ts/port.ts'
import { PushServer } from '../../src-ts/websocket/push.ts'
import { FakeNative } from '../support/fake-native.ts'

const SERVER = 6
const WORKER = 2
const TEXT = Opcode.TEXT | SendFlag.FIN | SendFlag.COMPRESS
const BINARY = Opcode.BINARY | SendFlag.FIN | SendFlag.COMPRESS

class Pusher extends PushServer {
  readonly ports = portsFrom(
    [
      { name: 'main', protocol: 'http', host: '127.0.0.1', port: 5200, path: undefined, error: undefined, tls: false },
      { name: 'telemetry', protocol: 'udp', host: '127.0.0.1', port: 5292, path: undefined, error: undefined, tls: false },
    ],
    this.reach(),
  )
  protected coreServer(): number {
    return SERVER
  }
  protected coreWorker(): number {
    return WORKER
  }
  port(index: number): ReturnType<PushServer['connectionsOf']> {
    return this.connectionsOf(index)
  }
  onPort(index: number): void {
    this.reach().broadcast(index, 'x', {})
  }
}

function pusher(): { native: FakeNative; server: Pusher; last(): unknown[] } {
  const native = new FakeNative()
  const server = new Pusher(native)
  return { native, server, last: () => [...native.connectionCalls.at(-1)!.args] }
}

test('sendTo() hands a packet to the UDP port of this name or position, and to no other port', (t) => {
  const { last, native, server } = pusher()
  t.true(server.sendTo('telemetry', '192.0.2.1', 9, 'naïve'))
  t.deepEqual(last(), [SERVER, WORKER, 1, '192.0.2.1', 9, 'naïve'])
  t.true(server.sendTo(1, '/run/peer.sock', 0, Uint8Array.of(1)))
  t.deepEqual(last(), [SERVER, WORKER, 1, '/run/peer.sock', 0, Buffer.from([1])])
  native.connectionCalls.length = 0
  t.false(server.sendTo('main', '192.0.2.1', 9, 'a'))
  t.false(server.sendTo('telemetri', '192.0.2.1', 9, 'a'))
  t.deepEqual(native.connectionCalls, [])
  for (const port of [-1, 65_536, 1.5, '9' as never]) t.throws(() => server.sendTo('telemetry', '192.0.2.1', port, 'a'), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => server.sendTo('telemetry', '192.0.2.1', 9, 5 as never), { code: 'ERR_SLUICE_INVALID_ARG' })
})

test('push() hands over data, kind and the calling thread', (t) => {
  const { last, native, server } = pusher()
  native.kinds.set(7, 2)
  t.is(server.push(7, 'naïve'), 6)
  t.deepEqual(last(), [SERVER, WORKER, 7, 'naïve', TEXT])
  t.is(server.send(7, Uint8Array.of(1)), 1)
  t.deepEqual(last(), [SERVER, WORKER, 7, Buffer.from([1]), BINARY])
  server.push(7, 'a', { binary: true, compress: false })
  t.deepEqual(last(), [SERVER, WORKER, 7, 'a', Opcode.BINARY | SendFlag.FIN])
  server.push(7, new ArrayBuffer(2), { binary: false })
  t.deepEqual(last(), [SERVER, WORKER, 7, Buffer.alloc(2), TEXT])
  t.is(server.push(8, 'nobody'), 0)
})

test('publish() knows topics, and flags for slow receivers and keeping', (t) => {
  const { last, native, server } = pusher()
  native.receivers = 4
  t.is(server.publish('news', 'a'), 4)
  t.deepEqual(last(), [SERVER, WORKER, ChannelKind.TOPIC, 'news', 'a', TEXT, 0, 0])
  for (const [slow, flag] of [['queue', 0], ['drop', 1], ['latest', 2], ['close', 3]] as const) {
    server.publish('news', 'a', { slow, retain: true, except: 9, compress: false })
    t.deepEqual(last(), [SERVER, WORKER, ChannelKind.TOPIC, 'news', 'a', Opcode.TEXT | SendFlag.FIN, flag | 4, 9])
  }
  t.is(server.subscribers('news'), 4)
  t.deepEqual(last(), [SERVER, ChannelKind.TOPIC, 'news'])
})

test('a uid is the same as a number and as text', (t) => {
  const { last, native, server } = pusher()
  native.kinds.set(7, 2)
  for (const uid of [7, '7']) {
    server.sendToUid(uid, 'a')
    t.deepEqual(last(), [SERVER, WORKER, ChannelKind.UID, '7', 'a', TEXT, 0, 0])
    t.false(server.isUidOnline(uid))
    t.deepEqual(last(), [SERVER, ChannelKind.UID, '7'])
    t.true(server.bindUid(7, uid))
    t.deepEqual(last(), [SERVER, 7, '7'])
  }
  t.false(server.bindUid(8, 'x'))
  native.receivers = 1
  t.true(server.isUidOnline('7'))
})

test('sendToGroup() goes by the group, and as a broadcast when it is narrowed', (t) => {
  const { last, server } = pusher()
  server.sendToGroup('red', 'a', { slow: 'drop' })
  t.deepEqual(last(), [SERVER, WORKER, ChannelKind.GROUP, 'red', 'a', TEXT, 1, 0])
  server.sendToGroup('red', 'a', { except: [3], slow: 'drop' })
  t.deepEqual(last(), [SERVER, WORKER, '{"except":[3],"group":"red"}', 'a', TEXT, 1])
  server.sendToGroup('red', 'a', { uid: [1, 'b'] })
  t.deepEqual(last(), [SERVER, WORKER, '{"group":"red","uids":["1","b"]}', 'a', TEXT, 0])
})

test('broadcast() names port, users, group and who is excepted', (t) => {
  const { last, server } = pusher()
  server.broadcast(Uint8Array.of(1), { except: new Set([1, 2]), uid: ['a'], group: 'g', slow: 'close', compress: false })
  t.deepEqual(last(), [SERVER, WORKER, '{"except":[1,2],"group":"g","uids":["a"]}', Buffer.from([1]), Opcode.BINARY | SendFlag.FIN, 3])
  server.onPort(2)
  t.deepEqual(last(), [SERVER, WORKER, '{"port":2}', 'x', TEXT, 0])
})

test('close, reset and kick hand over code and reason', (t) => {
  const { last, native, server } = pusher()
  native.kinds.set(7, 2)
  native.receivers = 2
  t.true(server.close(7))
  t.deepEqual(last(), [SERVER, WORKER, 7, 1000, '', false])
  t.true(server.close(7, 4000, 'why'))
  t.deepEqual(last(), [SERVER, WORKER, 7, 4000, 'why', false])
  t.true(server.reset(7))
  t.deepEqual(last().slice(-1), [true])
  t.false(server.close(8))
  t.is(server.kick({ id: 7, uid: 5, group: 'g' }, 3000, 'out'), 2)
  t.deepEqual(last(), [SERVER, WORKER, '{"id":7,"uid":"5","group":"g"}', 3000, 'out'])
})

test('exists and isEstablished tell what kind a connection is', (t) => {
  const { native, server } = pusher()
  for (const [kind, exists, isEstablished] of [[0, false, false], [2, true, true], [3, true, false]] as const) {
    native.kinds.set(7, kind)
    t.deepEqual([server.exists(7), server.isEstablished(7)], [exists, isEstablished], String(kind))
  }
})

for (const id of [0, -1, 1.5, Number.NaN, 2 ** 53, '7', null, undefined]) {
  test(`${inspect(id)} is no connection id`, (t) => {
    const { native, server } = pusher()
    const calls: (() => unknown)[] = [
      () => server.push(id as never, 'a'),
      () => server.close(id as never),
      () => server.reset(id as never),
      () => server.exists(id as never),
      () => server.isEstablished(id as never),
      () => server.getConnection(id as never),
      () => server.bindUid(id as never, 'u'),
      () => server.connections.has(id as never),
      () => server.broadcast('a', { except: [id as never] }),
    ]
    if (id !== undefined) calls.push(() => server.kick({ id: id as never }))
    for (const call of calls) t.throws(call, { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' }, call.toString())
    t.deepEqual(native.connectionCalls, [])
  })
}

test('what cannot be sent is refused before anybody gets it', (t) => {
  const { native, server } = pusher()
  for (const data of [undefined, null, 7, {}, []]) {
    for (const call of [() => server.push(1, data as never), () => server.publish('a', data as never), () => server.broadcast(data as never), () => server.sendToUid(1, data as never), () => server.sendToGroup('a', data as never)]) {
      t.throws(call, { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    }
  }
  for (const call of [() => server.publish('', 'a'), () => server.subscribers(7 as never), () => server.sendToGroup('', 'a'), () => server.sendToUid('', 'a'), () => server.isUidOnline(Number.NaN), () => server.kick({ group: '' }), () => server.broadcast('a', { group: '' }), () => server.broadcast('a', { uid: [''] }), () => server.publish('a', 'a', { slow: 'wait' as never })]) {
    t.throws(call, { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' }, call.toString())
  }
  for (const call of [() => server.close(1, 1006), () => server.kick({ id: 1 }, 1), () => server.close(1, 1000, 'x'.repeat(124))]) {
    t.throws(call, { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' }, call.toString())
  }
  t.deepEqual(native.connectionCalls, [])
})

// ── the set of connections ──

test('connections are asked for page by page', (t) => {
  const { native, server } = pusher()
  native.ids = Array.from({ length: 10_000 }, (_, index) => index * 3 + 1)
  t.deepEqual([...server.connections], native.ids)
  t.deepEqual(native.callsOf('connectionIds').map(({ args }) => args.slice(1)), [[-1, 0, 4096], [-1, 4095 * 3 + 1, 4096], [-1, 8191 * 3 + 1, 4096], [-1, 9999 * 3 + 1, 4096]])
  t.is(server.connections.size, 10_000)
})

test('a connection that ends while the set is walked through disturbs nobody', (t) => {
  const { native, server } = pusher()
  native.ids = Array.from({ length: 9_000 }, (_, index) => index + 1)
  const seen: number[] = []
  for (const id of server.connections) {
    seen.push(id)
    if (id === 1) native.ids = native.ids.filter((one) => one !== 5_000)
  }
  t.is(seen.length, 8_999)
  t.false(seen.includes(5_000))
})

test('list() gives ids above a cursor, has() looks for one', (t) => {
  const { native, server } = pusher()
  native.ids = [2, 4, 6]
  t.deepEqual(server.connections.list(), [2, 4, 6])
  t.deepEqual(server.connections.list(2, 1), [4])
  t.deepEqual(server.connections.list(6), [])
  t.deepEqual([server.connections.has(4), server.connections.has(5), server.connections.has(7)], [true, false, false])
  server.port(1).list()
  t.deepEqual(native.connectionCalls.at(-1)!.args.slice(0, 2), [SERVER, 1])
  for (const call of [() => server.connections.list(-1), () => server.connections.list(1.5), () => server.connections.list(0, -1), () => server.connections.list(0, 0.5), () => server.connections.list(0, 2 ** 32)]) {
    t.throws(call, { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' }, call.toString())
  }
})
