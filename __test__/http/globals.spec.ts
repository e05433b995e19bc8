import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { HttpFlag } from '../../src-ts/bridge/record.ts'
import { installGlobals } from '../../src-ts/http/globals.ts'
import { nativeClasses } from '../../src-ts/http/native-classes.ts'
import { SluiceResponse } from '../../src-ts/http/response.ts'
import type { FakeNative } from '../support/fake-native.ts'
import { startFakeWorker } from '../support/fake-worker.ts'

installGlobals()
const { Request: NativeRequest, Response: NativeResponse } = nativeClasses()

/** What `read` gives in an asynchronous handler. */
async function inHandler(read: (req: Request) => unknown, deliver: (native: FakeNative) => void = (native) => native.request()) {
  let seen: unknown
  const { native, runtime, reports } = startFakeWorker(async (req) => {
    seen = await read(req)
    return new Response()
  })
  deliver(native)
  native.wake()
  await runtime.settled()
  if (reports.length > 0) throw reports[0]!.error
  return seen
}

/** A server of Node's own that tells what it was sent; for what goes through `fetch`. */
async function upstream(t: { teardown(fn: () => void): void }, listener: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of message) text += String(chunk)
  return text
}

test('installing twice changes nothing', (t) => {
  const before = [Response, Request, fetch]
  installGlobals()
  t.deepEqual([Response, Request, fetch], before as never)
})

test('the global Response is ours, and its answers go up in one call', (t) => {
  t.is(Response as unknown, SluiceResponse)
  const { native } = startFakeWorker(() => Response.json({ a: 1 }))
  native.request()
  native.wake()
  t.deepEqual(native.commands.map(({ call, template }) => [call, template]), [['respond', 2]])
})

test('instanceof holds for the global classes, whoever made the object', async (t) => {
  t.true(new NativeResponse() instanceof Response)
  t.true(new Response() instanceof NativeResponse)
  t.true(new NativeRequest('http://h/') instanceof Request)
  t.true(new Request('http://h/') instanceof NativeRequest)
  t.true(await inHandler((req) => req instanceof Request && req instanceof NativeRequest))
})

test('the global Request is as before for everything else', (t) => {
  class Mine extends Request {}
  t.is(Request.prototype, NativeRequest.prototype)
  t.is(new Request('http://h/', { method: 'PUT' }).method, 'PUT')
  t.true(new Mine('http://h/') instanceof Mine)
  t.throws(() => new Request('no url'), { instanceOf: TypeError })
  t.is(Request.name, 'Request')
})

test('new Request(req) has method, url, fields and body, and uses the body up', async (t) => {
  const seen = await inHandler(async (req) => {
    const made = new Request(req)
    return [made instanceof NativeRequest, made.method, made.url, made.headers.get('x-a'), made.headers.get('connection'), await made.text(), req.bodyUsed]
  }, (native) => native.request({ method: 'POST', target: '/p?q', headers: [['host', 'h.test'], ['x-a', '1'], ['connection', 'keep-alive']], body: 'abc' }))
  t.deepEqual(seen, [true, 'POST', 'http://h.test/p?q', '1', null, 'abc', true])
})

test('new Request(req) of a request that was read throws a TypeError', async (t) => {
  const seen = await inHandler(async (req) => {
    await req.text()
    return t.throws(() => new Request(req))
  }, (native) => native.request({ method: 'POST', body: 'abc' }))
  t.true(seen instanceof TypeError)
})

test('new Request(url, req) takes everything but the URL', async (t) => {
  const seen = await inHandler(async (req) => {
    const made = new Request('http://other.test/', req)
    return [made.url, made.method, made.headers.get('x-a'), await made.text()]
  }, (native) => native.request({ method: 'PUT', headers: [['x-a', '1']], body: 'abc' }))
  t.deepEqual(seen, ['http://other.test/', 'PUT', '1', 'abc'])
})

test('the signal of new Request(req) follows that of req', async (t) => {
  let made: Request | undefined
  const { native } = startFakeWorker((req) => {
    made = new Request(req)
    return new Promise(() => undefined)
  })
  native.request()
  native.wake()
  t.false(made!.signal.aborted)
  native.abort(0)
  native.wake()
  t.true(made!.signal.aborted)
})

test('fetch(req) sends the request on, its streamed body included', async (t) => {
  const host = await upstream(t, async (req, res) => res.end(JSON.stringify([req.method, req.url, req.headers['x-a'], await textOf(req)])))
  const seen = await inHandler(async (req) => (await fetch(req)).json(), (native) => {
    native.request({ method: 'POST', target: '/up', flags: HttpFlag.STREAM, headers: [['host', host], ['x-a', '1'], ['transfer-encoding', 'chunked'], ['expect', '100-continue']] })
    native.chunk('one ')
    native.chunk('two')
    native.bodyEnd()
  })
  t.deepEqual(seen, ['POST', '/up', '1', 'one two'])
})

test('fetch(req) of a GET', async (t) => {
  const host = await upstream(t, (req, res) => res.end(req.url))
  t.is(await inHandler(async (req) => (await fetch(req)).text(), (native) => native.request({ target: '/g', headers: [['host', host]] })), '/g')
})

test('fetch(req) that cannot be made rejects, and does not throw', async (t) => {
  const seen = await inHandler(async (req) => {
    await req.text()
    const promise = fetch(req)
    return promise.catch((error: unknown) => error)
  }, (native) => native.request({ method: 'POST', body: 'x' }))
  t.true(seen instanceof TypeError)
})

test('fetch(url) gives a response of Node, which is an instance of the global class', async (t) => {
  const host = await upstream(t, (_req, res) => res.end('x'))
  const response = await fetch(`http://${host}/`)
  t.true(response instanceof Response)
  t.is(await response.text(), 'x')
})

test('the answer of fetch can be the answer: its body is decoded, so its coding and length are not passed on', async (t) => {
  const zipped = gzipSync('hello '.repeat(100))
  const host = await upstream(t, (_req, res) => {
    res.writeHead(203, { 'content-encoding': 'gzip', 'content-length': zipped.length, 'x-a': '1', 'set-cookie': ['a=1', 'b=2'] })
    res.end(zipped)
  })
  const { native, runtime } = startFakeWorker(() => fetch(`http://${host}/`))
  native.request()
  native.wake()
  await runtime.settled()
  const [head, ...rest] = native.commands
  t.like(head, { call: 'respondHead', status: 203, length: -1 })
  t.false(head!.headers!.includes('content-encoding'))
  t.true(head!.headers!.includes('x-a: 1\r\n') && head!.headers!.includes('set-cookie: a=1\r\nset-cookie: b=2\r\n'))
  t.is(Buffer.concat(rest.flatMap(({ body }) => (Buffer.isBuffer(body) ? [body] : []))).toString(), 'hello '.repeat(100))
})

test('the answer of fetch without a coding keeps its length', async (t) => {
  const host = await upstream(t, (_req, res) => res.writeHead(200, { 'content-length': 3 }).end('abc'))
  const { native, runtime } = startFakeWorker(() => fetch(`http://${host}/`))
  native.request()
  native.wake()
  await runtime.settled()
  t.is(native.commands[0]!.length, 3)
  t.is(native.commands.at(-1)!.call, 'respondEnd')
})

test('a Response with the body of another goes up', async (t) => {
  const host = await upstream(t, (_req, res) => res.end('abc'))
  const { native, runtime } = startFakeWorker(async () => {
    const { body, status, headers } = await fetch(`http://${host}/`)
    return new Response(body, { status, headers })
  })
  native.request()
  native.wake()
  await runtime.settled()
  t.is(String(native.commands[1]!.body), 'abc')
})

test('a Response of ours is a Response for WebAssembly', async (t) => {
  const empty = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
  const module = await WebAssembly.compileStreaming(new Response(empty, { headers: { 'content-type': 'application/wasm' } }))
  t.true(module instanceof WebAssembly.Module)
})
