import { request } from 'node:http'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { serve, type App, type ServeOptions } from 'sluice'

const TEXT = 'The quick brown fox jumps over the lazy dog. '.repeat(100)
/** "hello", stored, in a frame of RFC 8878. */
const ZSTD_HELLO = Buffer.from('28b52ffd200529000068656c6c6f', 'hex')

const app: App = {
  async fetch(req, ctx) {
    const { pathname } = new URL(req.url)
    const fields = { coding: req.headers.get('content-encoding'), length: req.headers.get('content-length'), own: req.headers.get('x-own'), names: [...req.headers.keys()] }
    switch (pathname) {
      case '/form':
        return Response.json((await ctx.form()).fields)
      case '/stream': {
        let [length, pieces, longest] = [0, 0, 0]
        for await (const piece of req.body as unknown as AsyncIterable<Uint8Array>) {
          length += piece.byteLength
          pieces++
          longest = Math.max(longest, piece.byteLength)
        }
        return Response.json({ length, pieces, longest })
      }
      case '/first': {
        const reader = req.body!.getReader()
        const { value } = await reader.read()
        await reader.cancel()
        return Response.json(value!.byteLength)
      }
      case '/late':
        await new Promise(setImmediate)
        return new Response(await req.text())
      case '/twice': {
        const copy = req.clone()
        return Response.json([await req.text(), await copy.text()])
      }
      case '/unread':
        return Response.json(fields)
      default:
        return Response.json({ ...fields, text: await req.text(), used: req.bodyUsed })
    }
  },
}

type Post = (path: string, coding: string | undefined, body: Buffer, more?: Record<string, string>) => Promise<{ status: number; text: string; json: () => unknown }>

async function start(t: ExecutionContext, options: ServeOptions = {}): Promise<Post> {
  const server = await serve(app, { port: 0, stateDir: false, decompression: true, ...options })
  server.on('error', () => undefined)
  t.teardown(() => server.shutdown({ timeout: 500 }))
  const { port } = new URL(server.url)
  return (path, coding, body, more = {}) =>
    new Promise((resolve, reject) => {
      const headers = { ...(coding !== undefined && { 'content-encoding': coding }), 'content-length': body.length, ...more }
      request({ port, path, method: 'POST', headers, agent: false }, (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (part: string) => (text += part))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, json: () => JSON.parse(text) as unknown }))
        answer.on('error', reject)
      })
        .on('error', reject)
        .end(body)
    })
}

const codings: [string, (body: string) => Buffer][] = [
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['GZIP', gzipSync],
  ['deflate', deflateSync],
  ['deflate', deflateRawSync],
  ['br', brotliCompressSync],
]

test('a coded body is read as what it was, and its header does not say otherwise', async (t) => {
  const post = await start(t)
  for (const [coding, code] of codings) {
    for (const path of ['/', '/late', '/twice']) {
      const { status, text } = await post(path, coding, code(TEXT), { 'x-own': '1' })
      t.is(status, 200, coding)
      t.true(text.includes(TEXT), coding)
    }
  }
  const told = (await post('/', 'gzip', gzipSync(TEXT), { 'x-own': '1' })).json()
  t.like(told, { coding: null, length: null, own: '1', used: true })
  t.false((told as { names: string[] }).names.includes('content-encoding'))
  t.is(((await post('/', 'zstd', ZSTD_HELLO)).json() as { text: string }).text, 'hello')
})

test('a body that is not coded, and one that says so, is left alone', async (t) => {
  const post = await start(t)
  for (const coding of [undefined, 'identity', '']) {
    const told = (await post('/', coding, Buffer.from('plain'))).json() as { text: string; length: string }
    t.like(told, { text: 'plain', length: '5' })
  }
  t.like((await post('/', 'gzip', Buffer.alloc(0))).json(), { text: '' })
  t.deepEqual((await post('/twice', 'gzip', Buffer.alloc(0))).json(), ['', ''])
})

test('nothing is decoded unless it is asked for', async (t) => {
  const post = await start(t, { decompression: false })
  t.like((await post('/unread', 'gzip', gzipSync(TEXT))).json(), { coding: 'gzip', length: String(gzipSync(TEXT).length) })
})

test('a large body comes in pieces', async (t) => {
  const post = await start(t)
  const large = Buffer.alloc(20_000_000, 'abc')
  const told = (await post('/stream', 'gzip', gzipSync(large))).json() as { length: number; longest: number }
  t.is(told.length, large.length)
  t.true(told.longest <= 65_536)
  const random = Buffer.from(Array.from({ length: 1_000_000 }, (_, at) => (at * 2_654_435_761) >>> 24))
  t.like((await post('/stream', 'br', brotliCompressSync(random))).json(), { length: random.length })
})

test('limits.bodyBytes binds what comes out; a stream gives only what is taken', async (t) => {
  const post = await start(t, { limits: { bodyBytes: 100_000 } })
  const bomb = gzipSync(Buffer.alloc(50_000_000))
  t.true(bomb.length < 60_000)
  t.is((await post('/', 'gzip', bomb)).status, 413)
  t.is((await post('/', 'gzip', gzipSync(Buffer.alloc(100_001)))).status, 413)
  t.is((await post('/', 'gzip', gzipSync(Buffer.alloc(100_000)))).status, 200)
  t.true(Number((await post('/first', 'gzip', bomb)).text) <= 65_536)
})

test('a form is decoded, too, and bound as any other', async (t) => {
  const post = await start(t, { uploads: { maxBytes: 10_000 } })
  const form = (value: string): Buffer => gzipSync(`--x\r\ncontent-disposition: form-data; name=a\r\n\r\n${value}\r\n--x--`)
  const type = { 'content-type': 'multipart/form-data; boundary=x' }
  t.deepEqual((await post('/form', 'gzip', form('1'), type)).json(), { a: '1' })
  t.is((await post('/form', 'gzip', form('1'.repeat(10_000)), type)).status, 413)
  t.deepEqual((await post('/form', 'br', brotliCompressSync('a=1'), { 'content-type': 'application/x-www-form-urlencoded' })).json(), { a: '1' })
})

test('an unknown coding is 415, a broken body 400, and an unread one neither', async (t) => {
  const post = await start(t)
  for (const coding of ['compress', 'gzip, br', 'aes128gcm']) t.is((await post('/', coding, gzipSync(TEXT))).status, 415, coding)
  const coded = gzipSync(TEXT)
  for (const broken of [Buffer.from('x'), coded.subarray(0, -1), Buffer.concat([coded, coded]), Buffer.from(coded).fill(0, 40, 50)]) {
    t.is((await post('/', 'gzip', broken)).status, 400)
    t.is((await post('/form', 'gzip', broken, { 'content-type': 'application/x-www-form-urlencoded' })).status, 400)
  }
  t.is((await post('/unread', 'compress', coded)).status, 200)
})
