import { inspect } from 'node:util'
import test from 'ava'
import { HttpFlag } from '../../src-ts/bridge/record.ts'
import { installGlobals } from '../../src-ts/http/globals.ts'
import type { FakeRequest } from '../support/fake-native.ts'
import { startFakeWorker } from '../support/fake-worker.ts'

installGlobals()

type Received = Request & { header(name: string): string | null }

/** What `read` makes of a request, once while it lies in the ring and once after it was moved out of it. */
async function bothWays<T>(request: FakeRequest, read: (req: Received) => T): Promise<[ring: T, detached: T]> {
  const seen: T[] = []
  const { native } = startFakeWorker(async (req) => {
    if (seen.length === 1) {
      await null
      native.scribble()
    }
    seen.push(read(req as Received))
    return new Response()
  })
  for (let round = 1; round <= 2; round++) {
    native.request(request)
    native.wake()
    await native.until((commands) => commands.length === round)
  }
  return seen as [T, T]
}

const same = test.macro({
  title: (title) => `${title}, in the ring and detached`,
  exec: async (t, request: FakeRequest, read: (req: Received) => unknown, expected: unknown) => {
    const [ring, detached] = await bothWays(request, read)
    t.deepEqual(ring, expected)
    t.deepEqual(detached, expected)
  },
})

for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'M-SEARCH']) {
  test(`method ${method}`, same, { method }, (req: Received) => req.method, method)
}

test('url is scheme, Host and target', same, { target: '/a/b?c=d' }, (req: Received) => req.url, 'http://example.test/a/b?c=d')
test('url of an encrypted connection', same, { flags: HttpFlag.HTTPS }, (req: Received) => req.url, 'https://example.test/')
test('url of an absolute target is the target', same, { target: 'http://other.test/x' }, (req: Received) => req.url, 'http://other.test/x')
test('url of OPTIONS *', same, { method: 'OPTIONS', target: '*' }, (req: Received) => req.url, 'http://example.test/*')
test('url without a Host', same, { headers: [], flags: HttpFlag.HTTP10 }, (req: Received) => req.url, 'http://localhost/')
test('url with a long target', same, { target: `/${'x'.repeat(3000)}` }, (req: Received) => req.url, `http://example.test/${'x'.repeat(3000)}`)

const fields = [['Host', 'h.test'], ['Cookie', 'a=1'], ['X-Thing', 'one'], ['cookie', 'b=2'], ['x-thing', 'two'], ['X-Empty', ''], ['Accept', 'text/html'], ['X-Latin', 'caf\xe9']] as const

test('header() finds well-known and other names in any case', same, { headers: fields }, (req: Received) => ['accept', 'ACCEPT', 'x-latin', 'X-LATIN'].map((name) => req.header(name)), ['text/html', 'text/html', 'caf\xe9', 'caf\xe9'])
test('header() joins fields of one name as Headers does', same, { headers: fields }, (req: Received) => [req.header('cookie'), req.header('X-Thing')], ['a=1; b=2', 'one, two'])
test('header() gives an empty value as such, and null for no field', same, { headers: fields }, (req: Received) => [req.header('x-empty'), req.header('x-none'), req.header('origin')], ['', null, null])
test('header() does not take a name that only begins alike', same, { headers: [['x-thin', '1'], ['x-things', '2']] }, (req: Received) => req.header('x-thing'), null)
test('headers iterates sorted, lower-case, joined', same, { headers: fields }, (req: Received) => [...req.headers], [
  ['accept', 'text/html'], ['cookie', 'a=1; b=2'], ['host', 'h.test'], ['x-empty', ''], ['x-latin', 'caf\xe9'], ['x-thing', 'one, two'],
])

/** Runs `read` in one synchronous handler call. */
function inHandler<T>(request: FakeRequest, read: (req: Received) => T): { seen: T | undefined; reports: unknown[] } {
  let seen: T | undefined
  const { native, reports } = startFakeWorker((req) => {
    seen = read(req as Received)
    return new Response()
  })
  native.request(request)
  native.wake()
  return { seen, reports }
}

test('headers has the interface of Headers', (t) => {
  const { seen, reports } = inHandler({ headers: fields }, ({ headers }) => {
    const each: string[] = []
    headers.forEach((value, name) => each.push(`${name}=${value}`))
    return [
      headers instanceof Headers, headers.has('Accept'), headers.has('nope'), [...headers.keys()].length, [...headers.values()].includes('text/html'),
      headers.getSetCookie(), each[0], new Headers(headers).get('x-thing'), Object.fromEntries(headers)['host'],
    ]
  })
  t.deepEqual(reports, [])
  t.deepEqual(seen, [true, true, false, 6, true, [], 'accept=text/html', 'one, two', 'h.test'])
})

test('a change of headers is seen by header() and in headers', (t) => {
  const { seen, reports } = inHandler({ headers: fields }, (req) => {
    req.headers.set('x-thing', 'three')
    req.headers.append('x-more', 'm')
    req.headers.delete('accept')
    return [req.header('x-thing'), req.headers.get('x-more'), req.headers.get('accept'), req.headers.get('host'), [...req.headers].length]
  })
  t.deepEqual(reports, [])
  t.deepEqual(seen, ['three', 'm', null, 'h.test', 6])
})

test('the request is an instance of Request and says what the standard says', (t) => {
  const { seen, reports } = inHandler({}, (req) => [
    req instanceof Request, Object.prototype.toString.call(req), req.cache, req.redirect, req.mode, req.credentials, req.destination, req.referrer, req.keepalive, Reflect.get(req, 'duplex'),
  ])
  t.deepEqual(reports, [])
  t.deepEqual(seen, [true, '[object Request]', 'default', 'follow', 'cors', 'same-origin', '', 'about:client', false, 'half'])
})

test('every member of Request can be read', (t) => {
  const names = Object.entries(Object.getOwnPropertyDescriptors(Request.prototype)).filter(([, member]) => member.get !== undefined).map(([name]) => name)
  t.true(names.length > 10)
  t.deepEqual(inHandler({ method: 'POST', body: 'x' }, (req) => names.forEach((name) => Reflect.get(req, name))).reports, [])
})

test('what a synchronous handler did not read throws afterwards, what it read stays', (t) => {
  const { seen: req } = inHandler({ target: '/kept' }, (request) => {
    void request.url
    return request
  })
  t.is(req!.url, 'http://example.test/kept')
  t.throws(() => req!.header('host'), { code: 'ERR_SLUICE_INVALID_STATE' })
  t.throws(() => req!.headers.get('host'), { code: 'ERR_SLUICE_INVALID_STATE' })
})

test('a request with ctx.after() or ctx.waitUntil() stays readable', async (t) => {
  const seen: string[] = []
  const { native, runtime } = startFakeWorker((req, ctx) => {
    if (req.method === 'GET') ctx.after(() => void seen.push(req.url))
    else ctx.waitUntil(Promise.resolve().then(() => seen.push(req.url)))
    return new Response()
  })
  native.request({ target: '/after' })
  native.request({ target: '/wait', method: 'PUT', index: 1 })
  native.wake()
  native.scribble()
  await runtime.settled()
  t.deepEqual(seen.toSorted(), ['http://example.test/after', 'http://example.test/wait'])
})

test('a detached request stays readable after its answer', async (t) => {
  let kept: Received | undefined
  const { native, runtime } = startFakeWorker(async (req) => {
    kept = req as Received
    return new Response()
  })
  native.request({ headers: fields })
  native.wake()
  await runtime.settled()
  native.scribble()
  t.is(kept!.header('x-thing'), 'one, two')
})

test('inspecting a request shows what it asks for', (t) => {
  t.regex(inHandler({ target: '/shown' }, (req) => inspect(req)).seen!, /^Request \{\s*method: 'GET',\s*url: 'http:\/\/example\.test\/shown'/)
})

test('nothing that a handler is given shows the ring', (t) => {
  const found: PropertyKey[] = []
  const { native } = startFakeWorker((req, ctx) => {
    for (const given of [req, ctx, req.headers, req.signal]) {
      for (let object: object | null = given; object !== null; object = Object.getPrototypeOf(object) as object | null) {
        for (const name of Reflect.ownKeys(object)) {
          const value: unknown = Object.getOwnPropertyDescriptor(object, name)?.value
          if (value === native.memory.events[0] || ArrayBuffer.isView(value) || name === 'lane') found.push(name)
        }
      }
    }
    return new Response()
  })
  native.request()
  native.wake()
  t.deepEqual(found, [])
})

for (const method of ['text', 'arrayBuffer', 'bytes', 'blob', 'json'] as const) {
  test(`${method}() after a synchronous answer rejects, and does not give an empty body`, async (t) => {
    const { seen: req } = inHandler({ method: 'POST', body: '{"a":1}' }, (request) => request)
    await t.throwsAsync(async () => req![method](), { code: 'ERR_SLUICE_INVALID_STATE', message: /make the handler async, or call ctx\.waitUntil\(promise\) or ctx\.after\(fn\)/ })
  })
}

test('body after a synchronous answer throws', (t) => {
  const { seen: req } = inHandler({ method: 'POST', body: 'x' }, (request) => request)
  t.throws(() => req!.body, { code: 'ERR_SLUICE_INVALID_STATE' })
})

test('long texts are the same one by one, behind another, and in a head too long to be taken as a whole', (t) => {
  for (const filler of ['', 'f'.repeat(2000)]) {
    const long = ['a', 'b'].map((letter) => letter.repeat(60))
    const { seen, reports } = inHandler({ target: `/${'t'.repeat(50)}`, headers: [['authorization', long[0]!], ['x-filler', filler], ['x-other', long[1]!]] }, (req) => [req.headers.get('x-other'), req.headers.get('authorization'), new URL(req.url).pathname.length, req.headers.get('x-filler')])
    t.deepEqual(reports, [])
    t.deepEqual(seen, [long[1], long[0], 51, filler])
  }
})

test('a long text that was read does not keep the rest readable after a synchronous answer', (t) => {
  const { seen: req } = inHandler({ headers: [['authorization', 'a'.repeat(60)]] }, (request) => (void request.headers.get('authorization'), request))
  t.throws(() => req!.header('host'), { code: 'ERR_SLUICE_INVALID_STATE' })
})
