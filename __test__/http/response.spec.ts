import { Readable } from 'node:stream'
import { inspect } from 'node:util'
import test from 'ava'
import { nativeClasses } from '../../src-ts/http/native-classes.ts'
import { SluiceResponse as Response } from '../../src-ts/http/response.ts'

const { Response: NativeResponse } = nativeClasses()

test('a response without arguments is an empty 200', (t) => {
  const response = new Response()
  t.like(response, { status: 200, ok: true, statusText: '', type: 'default', url: '', redirected: false, bodyUsed: false, body: null })
  t.deepEqual([...response.headers], [])
})

const types: [what: string, body: ConstructorParameters<typeof Response>[0], type: string | null, text: string][] = [
  ['a string', 'caf\u00e9', 'text/plain;charset=UTF-8', 'caf\u00e9'],
  ['an empty string', '', 'text/plain;charset=UTF-8', ''],
  ['bytes', Buffer.from('abc'), null, 'abc'],
  ['an ArrayBuffer', new TextEncoder().encode('abc').buffer, null, 'abc'],
  ['a DataView', new DataView(new TextEncoder().encode('xabcx').buffer, 1, 3), null, 'abc'],
  ['a Blob', new Blob(['abc'], { type: 'text/css' }), 'text/css', 'abc'],
  ['a Blob without a type', new Blob(['abc']), null, 'abc'],
  ['URLSearchParams', new URLSearchParams({ a: '1 2' }), 'application/x-www-form-urlencoded;charset=UTF-8', 'a=1+2'],
  ['a number', 7 as never, 'text/plain;charset=UTF-8', '7'],
]
for (const [what, body, type, text] of types) {
  test(`the body ${what} has its type and text`, async (t) => {
    const response = new Response(body)
    t.is(response.headers.get('content-type'), type)
    t.is(await response.text(), text)
    t.true(response.bodyUsed)
    await t.throwsAsync(response.text(), { instanceOf: TypeError })
  })

  test(`a type set by the app stays for the body ${what}`, (t) => {
    t.is(new Response(body, { headers: { 'Content-Type': 'x/y' } }).headers.get('content-type'), 'x/y')
  })
}

test('FormData has a type with its boundary', async (t) => {
  const form = new FormData()
  form.set('a', 'one')
  const response = new Response(form)
  t.regex(response.headers.get('content-type')!, /^multipart\/form-data; boundary=/)
  t.is((await response.formData()).get('a'), 'one')
})

test('streams, async iterables and Node streams are bodies', async (t) => {
  const bodies = [
    new Blob(['abc']).stream(),
    (async function* () {
      yield 'a'
      yield Buffer.from('bc')
    })(),
    Readable.from([Buffer.from('a'), Buffer.from('bc')]),
  ]
  for (const body of bodies) t.is(await new Response(body).text(), 'abc')
})

test('a stream that was locked or read is refused', async (t) => {
  const locked = new Blob(['abc']).stream()
  locked.getReader()
  t.throws(() => new Response(locked), { instanceOf: TypeError })
  const read = new Blob(['abc']).stream()
  const reader = read.getReader()
  await reader.read()
  reader.releaseLock()
  t.throws(() => new Response(read), { instanceOf: TypeError })
})

for (const status of [200, 201, 299, 300, 404, 599]) {
  test(`status ${status} is allowed`, (t) => {
    t.is(new Response('', { status }).status, status)
    t.is(new Response('', { status }).ok, status < 300)
  })
}
for (const status of [199, 600, 0, -200, 200.5, NaN, '200' as never]) {
  test(`status ${inspect(status)} is refused`, (t) => {
    t.throws(() => new Response('', { status }), { instanceOf: RangeError, code: 'ERR_SLUICE_INVALID_ARG' })
  })
}
for (const status of [204, 205, 304]) {
  test(`status ${status} has no body`, (t) => {
    t.is(new Response(null, { status }).body, null)
    t.throws(() => new Response('x', { status }), { instanceOf: TypeError })
    t.throws(() => new Response('', { status }), { instanceOf: TypeError })
    t.throws(() => Response.json({}, { status }), { instanceOf: TypeError })
  })
}

test('a status text that is no reason phrase is refused', (t) => {
  t.is(new Response(null, { statusText: 'All right' }).statusText, 'All right')
  t.throws(() => new Response(null, { statusText: 'a\r\nb' }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

// ── headers, and that nobody can split a response with them ──

const inits: [what: string, make: (name: string, value: string) => HeadersInit][] = [
  ['an object', (name, value) => ({ [name]: value })],
  ['pairs', (name, value) => [[name, value]]],
]
for (const [what, make] of inits) {
  for (const value of ['a\r\nset-cookie: x=1', 'a\nb', 'a\rb', 'a\0b', '\r\n', 'a\r\n', '\u0100', '\u{1f600}', '\u010a\u010d']) {
    test(`the value ${inspect(value)} in ${what} is refused`, (t) => {
      t.throws(() => new Response('', { headers: make('x-a', value) }), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    })
  }
  for (const name of ['', 'a b', 'a:', 'a\r\nb', 'a\0', '\u00e9', 'a(b)', ' a']) {
    test(`the name ${inspect(name)} in ${what} is refused`, (t) => {
      t.throws(() => new Response('', { headers: make(name, 'v') }), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    })
  }
  test(`a latin1 value with tabs in ${what} is taken`, (t) => {
    t.is(new Response('', { headers: make('X-Fine', 'caf\xe9\tau lait') }).headers.get('x-fine'), 'caf\xe9\tau lait')
  })
}

for (const method of ['set', 'append'] as const) {
  test(`headers.${method}() refuses what would split the response`, (t) => {
    const { headers } = new Response('')
    for (const value of ['a\r\nb: c', 'a\n', '\r', 'a\0', '\u0100']) {
      t.throws(() => headers[method]('x-a', value), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    }
    t.throws(() => headers[method]('x a', 'v'), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
    t.is(headers.get('x-a'), null)
  })
}

test('headers may be a Headers, and keep every set-cookie', (t) => {
  const headers = new Headers([['set-cookie', 'a=1'], ['set-cookie', 'b=2'], ['x-a', '1']])
  const response = new Response('', { headers })
  t.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
  t.true(response.headers instanceof Headers)
  t.is(response.headers, response.headers)
})

test('a value of another type becomes text, inherited members are none', (t) => {
  const headers = Object.assign(Object.create({ 'x-inherited': '1' }) as Record<string, string>, { 'x-n': 5 })
  t.deepEqual([...new Response(null, { headers }).headers], [['x-n', '5']])
})

test('a pair that is none is refused', (t) => {
  t.throws(() => new Response('', { headers: [['a']] as never }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

test('a content-length that is no length is refused', (t) => {
  for (const value of ['-1', '1.5', '5, 5', 'x', '']) t.throws(() => new Response('', { headers: { 'content-length': value } }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

// ── static functions ──

test('json() has the type, the text and the given init', async (t) => {
  const response = Response.json({ a: 1 }, { status: 201, headers: { 'x-a': 'b' } })
  t.is(response.status, 201)
  t.deepEqual([...response.headers], [['content-type', 'application/json'], ['x-a', 'b']])
  t.deepEqual(await response.json(), { a: 1 })
  t.is(Response.json({}, { headers: { 'content-type': 'application/problem+json' } }).headers.get('content-type'), 'application/problem+json')
})

test('json() refuses what JSON cannot express', (t) => {
  for (const value of [undefined, () => 1, Symbol('s')]) t.throws(() => Response.json(value), { instanceOf: TypeError })
})

test('redirect() takes absolute and relative URLs, and only redirect statuses', (t) => {
  t.is(Response.redirect('http://h.test/a b').headers.get('location'), 'http://h.test/a%20b')
  t.is(Response.redirect(new URL('http://h.test/')).status, 302)
  t.is(Response.redirect('/login', 303).headers.get('location'), '/login')
  t.throws(() => Response.redirect('/a', 200), { instanceOf: RangeError })
  t.throws(() => Response.redirect('/a\r\nb: c'), { code: 'ERR_SLUICE_INVALID_ARG' })
})

test('error() is the network error of the standard', (t) => {
  t.is(Response.error().type, 'error')
})

// ── identity ──

test('instanceof holds in both directions, and for subclasses only for their own', (t) => {
  class Page extends Response {}
  t.true(new Response() instanceof NativeResponse)
  t.true(new NativeResponse() instanceof Response)
  t.true(new Response() instanceof Response)
  t.true(new Page() instanceof Page && new Page() instanceof Response && new Page() instanceof NativeResponse)
  t.false(new Response() instanceof Page)
  t.false((new NativeResponse() as unknown) instanceof Page)
  for (const value of [null, undefined, 1, {}, { status: 200 }]) t.false((value as unknown) instanceof Response)
  t.is(Response.name, 'Response')
  t.is(Object.prototype.toString.call(new Response()), '[object Response]')
})

test('every member of the native class is there', (t) => {
  const response = new Response('x')
  for (const name of Object.getOwnPropertyNames(NativeResponse.prototype)) t.notThrows(() => Reflect.get(response, name), name)
  for (const name of ['json', 'redirect', 'error']) t.is(typeof Reflect.get(Response, name), 'function')
})

// ── bodies that are read by the app ──

test('body is a stream, the same each time, null without a body', async (t) => {
  const response = new Response('abc')
  t.is(response.body, response.body)
  t.true(response.body instanceof ReadableStream)
  t.false(response.bodyUsed)
  t.is(await response.text(), 'abc')
})

test('bytes, arrayBuffer and blob', async (t) => {
  t.deepEqual(await new Response('abc').bytes(), new Uint8Array([97, 98, 99]))
  t.is((await new Response('abc').arrayBuffer()).byteLength, 3)
  t.is((await new Response('abc', { headers: { 'content-type': 'text/css' } }).blob()).type, 'text/css')
})

test('reading a response does not change the bytes the app gave', async (t) => {
  const bytes = Buffer.from('abc')
  new Uint8Array(await new Response(bytes).arrayBuffer()).fill(0)
  t.is(bytes.toString(), 'abc')
})

test('clone() has the same head and body', async (t) => {
  for (const body of ['abc', Buffer.from('abc'), new Blob(['abc']), new Blob(['abc']).stream(), Readable.from([Buffer.from('abc')])]) {
    const response = new Response(body, { status: 404, headers: { 'x-a': 'b' } })
    const clone = response.clone()
    t.is(clone.status, 404)
    t.is(clone.headers.get('x-a'), 'b')
    t.deepEqual(await Promise.all([response.text(), clone.text()]), ['abc', 'abc'])
    t.throws(() => clone.clone(), { instanceOf: TypeError })
  }
})

test('clone() works after body was looked at', async (t) => {
  const response = new Response('abc')
  void response.body
  const clone = response.clone()
  t.deepEqual(await Promise.all([response.text(), clone.text()]), ['abc', 'abc'])
})

test('inspecting a response shows status and headers', (t) => {
  t.regex(inspect(Response.json({})), /^Response \{\s*status: 200/)
})
