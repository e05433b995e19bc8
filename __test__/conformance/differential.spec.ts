/**
 * The same requests to node:http and to Sluice, by two clients that Node ships: what a program sees must be the same.
 * Both clients parse strictly, so this is also the proof that our answers are what other software takes for HTTP.
 */
import { createServer, request as httpRequest, Agent, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { testServed } from './served.ts'

interface Exchange {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: string
}

const exchanges: readonly Exchange[] = [
  { method: 'GET', path: '/' },
  { method: 'HEAD', path: '/' },
  { method: 'GET', path: '/json' },
  { method: 'GET', path: '/cookies' },
  { method: 'GET', path: '/redirect' },
  { method: 'GET', path: '/nowhere' },
  { method: 'GET', path: '/stream/one/two' },
  { method: 'HEAD', path: '/stream/one/two' },
  { method: 'GET', path: '/sized/abcdef' },
  { method: 'GET', path: '/block/300000' },
  ...[200, 201, 204, 205, 304, 400, 404, 418, 500, 503].map((status) => ({ method: 'GET', path: `/status/${status}` })),
  { method: 'POST', path: '/echo', body: '' },
  { method: 'POST', path: '/echo', body: 'a'.repeat(1_000) },
  { method: 'POST', path: '/echo', body: 'b'.repeat(300_000) },
  { method: 'PUT', path: '/method', body: 'x' },
  { method: 'PATCH', path: '/method', body: 'x' },
  { method: 'DELETE', path: '/method' },
  { method: 'OPTIONS', path: '/method' },
]

/** Differences that are none: who sends them, and when, says nothing about the answer. */
const ignored = new Set(['date', 'connection', 'keep-alive'])

/** The conformance app's routes again, written as one writes them for node:http. */
function reference(req: IncomingMessage, res: ServerResponse): void {
  const [name = '', ...rest] = (req.url ?? '').slice(1).split('/')
  const [first = ''] = rest
  const plain = { 'content-type': 'text/plain;charset=UTF-8' }
  const sized = (body: Buffer | string, headers: Record<string, string | string[]>): void => {
    res.writeHead(200, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
  }
  switch (name) {
    case '':
      return sized('hello', plain)
    case 'json':
      return sized(JSON.stringify({ a: 1, b: 'é' }), { 'content-type': 'application/json' })
    case 'cookies':
      return sized('two', { 'set-cookie': ['a=1; Path=/', 'b=2; Path=/'], ...plain })
    case 'redirect':
      return void res.writeHead(302, { location: 'http://example.com/elsewhere', 'content-length': 0 }).end()
    case 'method':
      return sized(req.method ?? '', plain)
    case 'block':
      return sized(Buffer.alloc(Number(first), 'x'), {})
    case 'sized':
      return sized(first, {})
    case 'stream':
      res.writeHead(200)
      for (const part of rest) res.write(part)
      return void res.end()
    case 'status': {
      const status = Number(first)
      const isNull = status === 204 || status === 304
      return void res.writeHead(status, isNull ? {} : { 'content-length': 0 }).end()
    }
    case 'echo': {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      return void req.on('end', () => sized(Buffer.concat(chunks), { 'content-type': 'application/octet-stream' }))
    }
    default:
      return void res.writeHead(404, { ...plain, 'content-length': 9 }).end('not found')
  }
}

const referenceServer = createServer(reference)
let referencePort = 0
test.before(async () => {
  await once(referenceServer.listen(0, '127.0.0.1'), 'listening')
  referencePort = (referenceServer.address() as AddressInfo).port
})
test.after.always(() => {
  referenceServer.closeAllConnections()
  referenceServer.close()
})

type Client = (t: ExecutionContext, port: number, exchange: Exchange) => Promise<Seen>

const clients: Record<string, (t: ExecutionContext) => Client> = { 'node:http': nodeClient, fetch: () => fetchClient }

for (const [name, make] of Object.entries(clients)) {
  testServed(`${name} sees the same from node:http and from Sluice`, async (t, served) => {
    const client = make(t)
    for (const exchange of exchanges) {
      const [theirs, ours] = [await client(t, referencePort, exchange), await client(t, served.port, exchange)]
      // To HEAD we tell the framing that GET would have (RFC 9112 6.1 allows it), node:http does not.
      const { 'transfer-encoding': framing, ...headers } = ours.headers
      const seen = exchange.method === 'HEAD' && framing !== undefined ? { ...ours, headers } : ours
      t.deepEqual(seen, theirs, `${exchange.method} ${exchange.path}`)
    }
  })
}

testServed('node:http needs no more connections than with a node:http server', async (t, served) => {
  let accepted = 0
  const count = (): number => accepted++
  referenceServer.on('connection', count)
  t.teardown(() => referenceServer.off('connection', count))
  const client = nodeClient(t)
  for (const exchange of exchanges) await client(t, referencePort, exchange)
  const before = served.server.stats().acceptCount
  const ours = nodeClient(t)
  for (const exchange of exchanges) await ours(t, served.port, exchange)
  t.true(accepted > 0)
  t.true(served.server.stats().acceptCount - before <= accepted)
}, { isAlone: true })

testServed('node:http streams a chunked upload and reads it back', async (t, served) => {
  const req = httpRequest({ port: served.port, host: '127.0.0.1', method: 'POST', path: '/echo-stream', agent: false })
  const answered = once(req, 'response', { signal: AbortSignal.timeout(10_000) }) as Promise<[IncomingMessage]>
  for (let i = 0; i < 50; i++) req.write('x'.repeat(10_000))
  req.end()
  const [res] = await answered
  t.is((await textOf(res)).length, 500_000)
})

testServed('node:http gets its 100 Continue', async (t, served) => {
  const headers = { expect: '100-continue', 'content-length': 5 }
  const req = httpRequest({ port: served.port, host: '127.0.0.1', method: 'POST', path: '/echo', agent: false, headers })
  const answered = once(req, 'response', { signal: AbortSignal.timeout(10_000) }) as Promise<[IncomingMessage]>
  req.flushHeaders()
  await once(req, 'continue', { signal: AbortSignal.timeout(10_000) })
  req.end('hello')
  t.is(await textOf((await answered)[0]), 'hello')
})

/** One keep-alive connection for all exchanges of the test. */
function nodeClient(t: ExecutionContext): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  return async (_t, port, { method, path, headers, body }) => {
    const req = httpRequest({ port, host: '127.0.0.1', method, path, agent, ...(headers && { headers }) })
    req.end(body)
    const [res] = (await once(req, 'response', { signal: AbortSignal.timeout(10_000) })) as [IncomingMessage]
    const text = await textOf(res)
    const seen = Object.entries(res.headers).flatMap(([name, value]) => (value === undefined || ignored.has(name) ? [] : [[name, value] as const]))
    return { status: res.statusCode ?? 0, headers: Object.fromEntries(seen), body: text }
  }
}

async function fetchClient(_t: ExecutionContext, port: number, { method, path, headers, body }: Exchange): Promise<Seen> {
  const init = { method, redirect: 'manual', signal: AbortSignal.timeout(10_000), ...(headers && { headers }), ...(body !== undefined && { body }) } as const
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
  const seen = [...response.headers].filter(([name]) => !ignored.has(name) && name !== 'set-cookie')
  const cookies = response.headers.getSetCookie()
  return {
    status: response.status,
    headers: { ...Object.fromEntries(seen), ...(cookies.length > 0 && { 'set-cookie': cookies }) },
    body: await response.text(),
  }
}

async function textOf(res: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of res.setEncoding('utf8')) text += String(chunk)
  return text
}
