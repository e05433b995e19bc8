/** Encrypted ports with the clients that people have: curl, openssl, Node. */
import { execFile, spawn } from 'node:child_process'
import { on, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { fileURLToPath } from 'node:url'
import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type Config, createServer, type Server, WebSocketClient } from 'sluice'
import { WebSocket } from 'ws'

import { Authority } from '../support/certificates.ts'
import { next, portOf, startServer } from '../support/server.ts'

const run = promisify(execFile)
const app = fileURLToPath(new URL('../fixtures/tls.mjs', import.meta.url))

const start = (t: ExecutionContext, config: Config): Promise<Server> => startServer(t, { app, workers: 1, ...config })

interface Answer {
  readonly status: number
  readonly body: string
}

async function ask(server: Server, options: Parameters<typeof httpsRequest>[1] = {}, body?: Buffer): Promise<Answer> {
  const request = httpsRequest(server.url, { servername: 'a.test', agent: false, ...options })
  request.end(body)
  const [response] = await once(request, 'response')
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part)
  return { status: response.statusCode, body: Buffer.concat(parts).toString('latin1') }
}

async function secure(server: Server, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = tlsConnect({ port: portOf(server), host: '127.0.0.1', ...options })
  await once(socket, 'secureConnect')
  return socket
}

test('curl is served over TLS, and the request says so', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key } })
  t.regex(server.url, /^https:\/\/127\.0\.0\.1:\d+$/)
  const port = portOf(server)
  const { stdout } = await run('curl', ['-sS', '--cacert', authority.caFile, '--resolve', `a.test:${port}:127.0.0.1`, `https://a.test:${port}/x?y`])
  t.like(JSON.parse(stdout), { url: `https://a.test:${port}/x?y`, scheme: 'https', tls: { protocol: 'TLSv1.3', servername: 'a.test', alpn: 'h2', authorized: false } })
})

for (const kind of ['ec', 'rsa', 'ed25519']) {
  test(`a certificate with a key of the kind ${kind} is served by openssl's client, in both versions`, async (t) => {
    const authority = await Authority.create(t)
    const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'], kind)
    const server = await start(t, { tls: { cert, key } })
    for (const version of ['-tls1_2', '-tls1_3']) {
      const client = spawn('openssl', ['s_client', version, '-connect', `127.0.0.1:${portOf(server)}`, '-servername', 'a.test', '-CAfile', authority.caFile, '-verify_return_error', '-quiet'])
      t.teardown(() => client.kill())
      client.stdin.write('GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n')
      let output = ''
      for await (const chunk of client.stdout) output += String(chunk)
      t.regex(output, /^HTTP\/1\.1 200 OK\r\n/)
      t.true(output.includes(version === '-tls1_2' ? 'TLSv1.2' : 'TLSv1.3'))
    }
  })
}

test('the certificate follows the name, and certificates may be text and bytes', async (t) => {
  const authority = await Authority.create(t)
  const [main, named, wild] = await Promise.all([authority.sign('a', ['a.test']), authority.sign('b', ['b.x.test']), authority.sign('w', ['*.x.test'])])
  const server = await start(t, {
    tls: { cert: main.cert, key: Buffer.from(main.key), sni: { 'b.x.test': { cert: named.certFile, key: named.keyFile }, '*.x.test': { cert: wild.certFile, key: wild.keyFile } } },
  })
  for (const [servername, expected] of [['a.test', 'a.test'], ['b.x.test', 'b.x.test'], ['c.x.test', '*.x.test']]) {
    const socket = await secure(server, { servername, ca: authority.ca })
    t.is(socket.getPeerCertificate().subject.CN, expected)
    socket.destroy()
  }
})

test('clients with a certificate are told from those without', async (t) => {
  const [authority, clients] = [await Authority.create(t), await Authority.create(t)]
  const [pair, client] = await Promise.all([authority.sign('a', ['a.test']), clients.sign('client', ['client.test'])])
  const options = { cert: pair.certFile, key: pair.keyFile, ca: clients.caFile, requestCert: true }
  const strict = await start(t, { tls: options })
  const lax = await start(t, { tls: { ...options, rejectUnauthorized: false } })
  for (const server of [strict, lax]) {
    const known = JSON.parse((await ask(server, { ca: authority.ca, cert: client.cert, key: client.key })).body)
    t.like(known, { subject: 'CN=client.test', tls: { authorized: true } })
  }
  const unknown = JSON.parse((await ask(lax, { ca: authority.ca })).body)
  t.is(unknown.subject, undefined)
  t.is(unknown.tls.authorized, false)
  await t.throwsAsync(ask(strict, { ca: authority.ca }))
})

test('Node resumes its sessions and keeps connections alive', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key } })
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.ca, servername: 'a.test', maxVersion })
    t.teardown(() => agent.destroy())
    const sockets = new Set<TLSSocket>()
    for (let count = 0; count < 3; count++) {
      const request = httpsRequest(server.url, { agent })
      request.end()
      const [response] = await once(request, 'response')
      sockets.add(response.socket)
      response.resume()
      await once(response, 'end')
    }
    t.is(sockets.size, 1)
    const [first] = [...sockets]
    const second = await secure(server, { servername: 'a.test', ca: authority.ca, maxVersion, session: first!.getSession() })
    t.true(second.isSessionReused())
    second.destroy()
  }
})

test('a large body comes back as it went', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key } })
  const body = Buffer.alloc(3_000_000, 'The quick brown fox. ')
  const answer = await ask(server, { method: 'POST', ca: authority.ca }, body)
  t.is(answer.status, 200)
  t.true(answer.body === body.toString('latin1'))
})

test('a WebSocket over TLS says so and is reached by WebSocketClient', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key } })
  const client = new WebSocketClient(server.url, { tls: { ca: authority.ca, servername: 'a.test' } })
  t.teardown(() => client.terminate())
  const messages = client[Symbol.asyncIterator]()
  const first = await messages.next()
  t.deepEqual(JSON.parse(String(first.value)), { url: `${server.url}/`, protocol: 'TLSv1.3' })
  client.send('back')
  t.is((await messages.next()).value, 'back')
})

test('a WebSocketClient trusts nobody that Node does not', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key } })
  const [strict, lax] = [new WebSocketClient(server.url), new WebSocketClient(server.url, { tls: { rejectUnauthorized: false } })]
  t.teardown(() => lax.terminate())
  await t.throwsAsync(strict[Symbol.asyncIterator]().next(), { message: /certificate/ })
  t.is((await lax[Symbol.asyncIterator]().next()).done, false)
})

test('a TCP port speaks TLS, and its connections begin after the handshake', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const line = fileURLToPath(new URL('../fixtures/tls-line.mjs', import.meta.url))
  const server = await start(t, { app: line, tls: { cert, key }, ports: { line: { protocol: 'tcp', listen: { port: 0 }, tls: true } } })
  const { address } = server.port('line')
  const socket = await secure(server, { port: (address as { port: number }).port, servername: 'a.test', ca: authority.ca })
  const input = socket[Symbol.asyncIterator]()
  t.is(String((await input.next()).value), 'a.test\n')
  socket.write('there and back')
  t.is(String((await input.next()).value), 'there and back')
  socket.destroy()
})

test('a session that is resumed takes its TLS connection to another reactor', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key }, core: { threads: 2 } })
  const open = async (query: string): Promise<{ socket: WebSocket; messages: AsyncIterator<[Buffer]>; headers: IncomingMessage['headers'] }> => {
    const socket = new WebSocket(`${server.url.replace('https', 'wss')}/${query}`, [], { rejectUnauthorized: false })
    t.teardown(() => socket.terminate())
    const messages = on(socket, 'message') as AsyncIterator<[Buffer]>
    const [{ headers }] = (await once(socket, 'upgrade')) as [IncomingMessage]
    return { socket, messages, headers }
  }
  let client = await open('')
  const token = client.headers['sluice-resume']
  t.is(typeof token, 'string')
  await client.messages.next()
  let received = 1
  // Idle connections between, so that the next one is accepted by the other reactor at least once.
  for (let round = 0; round < 4; round++) {
    const ended = once(client.socket, 'close')
    client.socket.terminate()
    await ended
    const idle = await secure(server, { servername: 'a.test', ca: authority.ca })
    t.teardown(() => idle.destroy())
    client = await open(`?resume=${String(token)}&received=${received}`)
    t.is(client.headers['sluice-resumed'], '0')
    // What `open` says.
    await client.messages.next()
    client.socket.send(`round ${round}`)
    t.is(String((await client.messages.next()).value[0]), `round ${round}`)
    received += 2
  }
})

test('a reload takes new certificates and touches no connection', async (t) => {
  const authority = await Authority.create(t)
  const [pair, renewed] = await Promise.all([authority.sign('a', ['a.test']), authority.sign('renewed', ['a.test'])])
  const server = await start(t, { tls: { cert: pair.certFile, key: pair.keyFile, watch: false } })
  const before = await secure(server, { servername: 'a.test', ca: authority.ca })
  const fingerprint = before.getPeerCertificate().fingerprint256
  await Authority.replace(pair, renewed)
  t.true((await server.reload()).ok)
  const after = await secure(server, { servername: 'a.test', ca: authority.ca })
  t.not(after.getPeerCertificate().fingerprint256, fingerprint)
  for (const socket of [before, after]) {
    socket.write('GET / HTTP/1.1\r\nhost: a.test\r\n\r\n')
    const [chunk] = await once(socket, 'data')
    t.regex(String(chunk), /^HTTP\/1\.1 200/)
    socket.destroy()
  }
})

test('files that change are noticed, and those that cannot be used are reported', async (t) => {
  const authority = await Authority.create(t)
  const [pair, renewed] = await Promise.all([authority.sign('a', ['a.test']), authority.sign('renewed', ['a.test'])])
  const { certFile: cert, keyFile: key } = pair
  const server = await start(t, { tls: { cert, key } })
  const reported = next(server, 'error')
  await Authority.replace(pair, { ...renewed, key: pair.key })
  const [error] = await reported
  t.like(error, { code: 'ERR_SLUICE_INVALID_OPTION' })
  t.regex(error.message, /port "main".*tls\.key: the key does not belong to the certificate of tls\.cert/)
  const socket = await secure(server, { servername: 'a.test', ca: authority.ca })
  t.is(socket.getPeerCertificate().subject.CN, 'a.test')
  socket.destroy()
})

test('an address may be in clear beside others, and HTTP in clear is told where it is', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key }, listen: [{ port: 0 }, { port: 0, tls: false }] })
  t.deepEqual(server.ports.map(({ url }) => new URL(url).protocol), ['https:', 'http:'])
  t.is((await fetch(server.ports[1]!.url)).status, 200)
  const answer = await fetch(server.url.replace('https', 'http'))
  t.is(answer.status, 400)
  t.is(await answer.text(), 'https-required\n')
})

test('what cannot be used fails the start and names the option', async (t) => {
  const authority = await Authority.create(t)
  const [one, other] = await Promise.all([authority.sign('a', ['a.test']), authority.sign('b', ['b.test'])])
  const fails = async (config: Config, message: RegExp): Promise<void> => {
    await t.throwsAsync(createServer({ app, workers: 1, stateDir: false, listen: { port: 0 }, ...config }), { code: 'ERR_SLUICE_INVALID_OPTION', message })
  }
  const push = (tls: object): Config => ({ ports: { push: { protocol: 'websocket', listen: { port: 0 }, tls: tls as never } } })
  await fails({ tls: { cert: one.certFile, key: other.keyFile } }, /^tls\.key: the key does not belong to the certificate of tls\.cert$/)
  await fails(push({ cert: one.certFile, key: '/nowhere.key' }), /^ports\.push\.tls\.key: cannot read "\/nowhere\.key": /)
  await fails(push({ cert: one.keyFile, key: one.keyFile }), /^ports\.push\.tls\.cert: no certificate found in ".*a\.key"$/)
  await fails(push({ cert: one.certFile, key: one.keyFile, kye: 1 }), /unknown option `ports\.push\.tls\.kye`/)
  await fails({ ports: { push: { protocol: 'websocket', listen: { port: 0 }, tls: true } } }, /^ports\.push\.tls cannot be true without the `tls` of the whole server$/)
  await fails({ listen: { port: 0, tls: { cert: one.certFile, key: one.keyFile, requestCert: true } } }, /^listen\.tls\.requestCert needs `ca`/)
})
