import test from 'ava'
import { Proxies } from '../../src-ts/http/forwarded.ts'
import type { ForwardedHeaders } from '../../src-ts/options.ts'

const trust = ['127.0.0.1/8', '10.0.0.0/8', 'fd00::/8', 'unix']
const known = { family: 4, remoteAddress: '127.0.0.1' } as const

/** What is known of the client behind a trusted peer, or `peer`. */
function read(headers: ForwardedHeaders, fields: Readonly<Record<string, string>>, peer: { family: 4 | 6 | 'unix'; remoteAddress: string } = known) {
  return new Proxies({ trust, headers, protocol: null }).read((name) => fields[name] ?? null, peer)
}

const forwardedFor = (value: string) => read('x-forwarded', { 'x-forwarded-for': value })

test('nobody but a listed peer is believed', (t) => {
  const fields = { 'x-forwarded-for': '192.0.2.1', 'x-real-ip': '192.0.2.1', forwarded: 'for=192.0.2.1' }
  for (const headers of ['x-forwarded', 'x-real', 'forwarded'] as const) {
    t.is(read(headers, fields)?.ip, '192.0.2.1')
    t.is(read(headers, fields, { family: 6, remoteAddress: 'fd12::1' })?.ip, '192.0.2.1')
    t.is(read(headers, fields, { family: 'unix', remoteAddress: '' })?.ip, '192.0.2.1')
    t.is(read(headers, fields, { family: 4, remoteAddress: '192.0.2.9' }), null)
    t.is(read(headers, fields, { family: 6, remoteAddress: 'fe80::1' }), null)
    // A client that has left: nothing is known of its peer.
    t.is(read(headers, fields, { family: 4, remoteAddress: '' }), null)
    t.is(new Proxies({ trust: ['::1'], headers, protocol: null }).read((name) => (fields as Record<string, string>)[name] ?? null, { family: 'unix', remoteAddress: '' }), null)
  }
})

test('the client is the right-most address that is not trusted', (t) => {
  t.like(forwardedFor('192.0.2.1'), { ip: '192.0.2.1', port: 0, chain: ['192.0.2.1'] })
  t.like(forwardedFor('6.6.6.6, 192.0.2.1'), { ip: '192.0.2.1', chain: ['192.0.2.1'] })
  t.like(forwardedFor('6.6.6.6, 192.0.2.1, 10.0.0.3, 10.0.0.4'), { ip: '192.0.2.1', chain: ['192.0.2.1', '10.0.0.3', '10.0.0.4'] })
  t.like(forwardedFor('10.0.0.1, 10.0.0.2'), { ip: '10.0.0.1', chain: ['10.0.0.1', '10.0.0.2'] })
  t.like(forwardedFor('2001:db8::1, [fd00::2]:80'), { ip: '2001:db8::1' })
})

test('addresses have ports, brackets and clothes', (t) => {
  t.like(forwardedFor('192.0.2.1:4711'), { ip: '192.0.2.1', port: 4711 })
  t.like(forwardedFor('[2001:db8::1]:4711'), { ip: '2001:db8::1', port: 4711 })
  t.like(forwardedFor('[2001:db8::1]'), { ip: '2001:db8::1', port: 0 })
  t.like(forwardedFor('::ffff:192.0.2.1'), { ip: '192.0.2.1' })
  t.like(forwardedFor('6.6.6.6, ::ffff:10.0.0.1'), { ip: '6.6.6.6' })
})

test('what is no address ends the chain', (t) => {
  for (const nonsense of ['unknown', '_hidden', '', '1.2.3', '1.2.3.4.5', 'localhost', "<script>'", '1.2.3.4:x', '[::1', 'fe80::1%eth0;']) {
    t.is(forwardedFor(`6.6.6.6, ${nonsense}`), null, nonsense)
    t.like(forwardedFor(`6.6.6.6, ${nonsense}, 10.0.0.1`), { ip: '10.0.0.1', chain: ['10.0.0.1'] }, nonsense)
  }
  t.is(forwardedFor(''), null)
  t.is(forwardedFor(',,,'), null)
})

test('a chain without end is not followed to its end', (t) => {
  const found = forwardedFor(Array.from({ length: 10_000 }, () => '10.0.0.1').join(','))
  t.is(found?.chain.length, 64)
})

test('scheme and host stand beside the address, or are the last', (t) => {
  const ask = (fields: Record<string, string>) => {
    const found = read('x-forwarded', Object.fromEntries(Object.entries(fields).map(([name, value]) => [`x-forwarded-${name}`, value])))
    return found && [found.ip, found.scheme, found.host]
  }
  t.deepEqual(ask({ for: '192.0.2.1', proto: 'https', host: 'a.test' }), ['192.0.2.1', 'https', 'a.test'])
  t.deepEqual(ask({ for: '6.6.6.6, 192.0.2.1', proto: 'http', host: 'a.test' }), ['192.0.2.1', 'http', 'a.test'])
  t.deepEqual(ask({ for: '6.6.6.6, 192.0.2.1, 10.0.0.1', proto: 'https, http, https', host: 'x, a.test, y' }), ['192.0.2.1', 'http', 'a.test'])
  t.deepEqual(ask({ proto: 'WSS' }), [undefined, 'https', undefined])
  t.deepEqual(ask({ for: '192.0.2.1', proto: 'ftp', host: 'a.test/../' }), ['192.0.2.1', undefined, undefined])
  t.deepEqual(ask({ for: '192.0.2.1', proto: 'https', host: 'a.test', port: '443' }), ['192.0.2.1', 'https', 'a.test'])
  t.deepEqual(ask({ for: '192.0.2.1', proto: 'https', host: 'a.test', port: '8443' }), ['192.0.2.1', 'https', 'a.test:8443'])
  t.deepEqual(ask({ for: '192.0.2.1', host: '[::1]:80', port: '8443' }), ['192.0.2.1', undefined, '[::1]:80'])
  t.deepEqual(ask({ for: '192.0.2.1', host: 'user@a.test' }), ['192.0.2.1', undefined, undefined])
  t.is(ask({ proto: 'nothing' })?.[1], undefined)
})

test('X-Real-IP names the client alone', (t) => {
  t.like(read('x-real', { 'x-real-ip': '192.0.2.1', 'x-real-port': '4711', scheme: 'https' }), { ip: '192.0.2.1', port: 4711, scheme: 'https', host: undefined })
  t.like(read('x-real', { 'x-real-ip': '2001:db8::1', 'x-real-port': '65536' }), { ip: '2001:db8::1', port: 0, scheme: undefined })
  t.is(read('x-real', { 'x-real-ip': 'somebody' }), null)
  t.is(read('x-real', { 'x-forwarded-for': '192.0.2.1' }), null)
})

test('Forwarded is read as RFC 7239 writes it', (t) => {
  const ask = (forwarded: string) => {
    const found = read('forwarded', { forwarded })
    return found && [found.ip, found.port, found.scheme, found.host]
  }
  t.deepEqual(ask('for=192.0.2.60;proto=http;by=203.0.113.43'), ['192.0.2.60', 0, 'http', undefined])
  t.deepEqual(ask('For="[2001:db8:cafe::17]:4711";Host="a.test:8080";PROTO=https'), ['2001:db8:cafe::17', 4711, 'https', 'a.test:8080'])
  t.deepEqual(ask('for=6.6.6.6, for=192.0.2.43;proto=https, for="10.0.0.1";proto=http'), ['192.0.2.43', 0, 'https', undefined])
  t.deepEqual(ask('for=192.0.2.1;ext="a,\\"b;c"; host=a.test'), ['192.0.2.1', 0, undefined, 'a.test'])
  t.is(ask('for=unknown'), null)
  t.is(ask('for=_hidden, for="_x"'), null)
  t.is(ask('proto=https'), null)
  t.is(ask(''), null)
})

test('what a client has put before its proxy’s element is never taken for it', (t) => {
  const real = ['for=192.0.2.43', 'for="192.0.2.43";proto=https', 'for="192.0.2.43:80";by="x";host="a.test"']
  const forged = ['for=6.6.6.6', 'for="6.6.6.6', 'x="', 'x="\\', '"', ';;;', 'for=6.6.6.6;', 'for=6.6.6.6;x="', ',', 'for=6.6.6.6,', '=', 'for==', 'for=6.6.6.6 for=7.7.7.7', '\\"']
  for (const element of real) {
    for (const start of forged) t.is(read('forwarded', { forwarded: `${start}, ${element}` })?.ip, '192.0.2.43', `${start}, ${element}`)
  }
})
