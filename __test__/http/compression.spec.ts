import { request } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, constants, createBrotliDecompress, gunzip, unzip } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { serve, type App, type ServeOptions } from 'sluice'

const TEXT = 'The quick brown fox jumps over the lazy dog. '.repeat(100)
const LONG = Array.from({ length: 20_000 }, (_, line) => `${line}: ${(line * 7919) % 104_729}\n`).join('')

const app: App = {
  async fetch(req) {
    const { pathname } = new URL(req.url)
    switch (pathname) {
      case '/text':
        return new Response(TEXT)
      case '/short':
        return new Response('x'.repeat(1023))
      case '/tagged':
        return new Response(TEXT, { headers: { etag: '"a"', vary: 'origin', 'accept-ranges': 'bytes' } })
      case '/image':
        return new Response(TEXT, { headers: { 'content-type': 'image/png' } })
      case '/coded':
        return new Response(TEXT, { headers: { 'content-encoding': 'x-own' } })
      case '/final':
        return new Response(TEXT, { headers: { 'cache-control': 'no-transform' } })
      case '/part':
        return new Response(TEXT, { status: 206, headers: { 'content-range': 'bytes 0-1/2' } })
      case '/bytes':
        return new Response(Buffer.from(TEXT), { headers: { 'content-type': 'application/json' } })
      case '/long':
        return new Response(LONG)
      case '/long-image':
        return new Response(LONG, { headers: { 'content-type': 'image/png' } })
      case '/length': {
        const body = new Blob([TEXT]).stream()
        return new Response(body, { headers: { 'content-type': 'text/plain', 'content-length': String(TEXT.length) } })
      }
      case '/stream':
        return new Response(live(), { headers: { 'content-type': 'text/plain' } })
      case '/broken':
        return new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(Buffer.from(TEXT)),
            pull: (controller) => controller.error(new Error('oh')),
          }),
          { headers: { 'content-type': 'text/plain' } },
        )
      default:
        return new Response(null, { status: 304, headers: { etag: '"a"' } })
    }
  },
}

let sendNext: () => void = () => undefined

/** Its second half comes when somebody has seen the first. */
function live(): ReadableStream {
  return new ReadableStream({
    async start(controller) {
      const seen = new Promise<void>((resolve) => (sendNext = resolve))
      controller.enqueue(Buffer.from('first\n'))
      await seen
      controller.enqueue(Buffer.from('second\n'))
      controller.close()
    },
  })
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
}

type Ask = (path: string, accepted?: string, method?: string) => Promise<Answer>

async function start(t: ExecutionContext, options: ServeOptions = { compression: true }): Promise<{ ask: Ask; port: number }> {
  const server = await serve(app, { port: 0, stateDir: false, ...options })
  server.on('error', () => undefined)
  t.teardown(() => server.shutdown({ timeout: 500 }))
  const port = Number(new URL(server.url).port)
  const ask: Ask = (path, accepted, method = 'GET') =>
    new Promise((resolve, reject) => {
      const headers = accepted === undefined ? {} : { 'accept-encoding': accepted }
      request({ port, path, method, headers, agent: false }, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(parts) }))
      })
        .on('error', reject)
        .end()
    })
  return { ask, port }
}

const inflate: Record<string, (body: Buffer) => Promise<Buffer>> = { gzip: promisify(gunzip), br: promisify(brotliDecompress) }

for (const coding of ['gzip', 'br']) {
  test(`an answer is sent in ${coding}, whole, long and streamed`, async (t) => {
    const { ask } = await start(t)
    for (const [path, expected] of [['/text', TEXT], ['/bytes', TEXT], ['/long', LONG], ['/length', TEXT]] as const) {
      const { headers, body } = await ask(path, coding)
      t.is(headers['content-encoding'], coding, path)
      t.is(headers['vary'], 'accept-encoding', path)
      t.is((await inflate[coding]!(body)).toString(), expected, path)
      t.true(body.length < expected.length / 2, path)
      if (headers['content-length'] !== undefined) t.is(headers['content-length'], String(body.length), path)
    }
  })
}

test('an answer is sent in zstd', async (t) => {
  const { ask } = await start(t)
  for (const path of ['/text', '/long']) {
    const { headers, body } = await ask(path, 'zstd')
    t.is(headers['content-encoding'], 'zstd')
    t.is(body.readUInt32LE(0), 0xfd2fb528)
  }
})

test('who accepts nothing gets the body as it is, and caches learn that others do not', async (t) => {
  const { ask } = await start(t)
  for (const accepted of [undefined, 'identity', 'deflate', 'gzip;q=0']) {
    const { headers, body } = await ask('/text', accepted)
    t.is(headers['content-encoding'], undefined)
    t.is(headers['vary'], 'accept-encoding')
    t.is(body.toString(), TEXT)
    t.is(headers['content-length'], String(TEXT.length))
  }
})

test('what is short, of another type, coded, final or a part is left alone', async (t) => {
  const { ask } = await start(t)
  for (const path of ['/short', '/image', '/long-image', '/coded', '/final', '/part', '/none']) {
    const { headers, body } = await ask(path, 'gzip, br')
    t.is(headers['vary'], undefined, path)
    t.not(headers['content-encoding'], 'br', path)
    if (path !== '/none') t.is(headers['content-length'], String(body.length), path)
  }
})

test('a compressed answer has a weak entity tag, one `vary`, and takes no ranges', async (t) => {
  const { ask } = await start(t)
  const coded = (await ask('/tagged', 'gzip')).headers
  t.like(coded, { etag: 'W/"a"', vary: 'origin, accept-encoding', 'accept-ranges': undefined })
  const plain = (await ask('/tagged')).headers
  t.like(plain, { etag: '"a"', vary: 'origin, accept-encoding', 'accept-ranges': 'bytes' })
})

test('HEAD tells the header of GET', async (t) => {
  const { ask } = await start(t)
  for (const path of ['/text', '/tagged']) {
    const get = await ask(path, 'br')
    const head = await ask(path, 'br', 'HEAD')
    t.deepEqual({ ...head.headers, date: '' }, { ...get.headers, date: '' })
    t.is(head.body.length, 0)
  }
})

test('each part of a stream can be read before the next is sent', async (t) => {
  const { port } = await start(t)
  const text = await new Promise<string>((resolve, reject) => {
    request({ port, path: '/stream', headers: { 'accept-encoding': 'br' }, agent: false }, (answer) => {
      t.is(answer.headers['content-encoding'], 'br')
      let all = ''
      const decoded = answer.pipe(createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH }))
      decoded.on('data', (part: Buffer) => {
        all += part
        if (all === 'first\n') sendNext()
      })
      decoded.on('end', () => resolve(all))
      decoded.on('error', reject)
    })
      .on('error', reject)
      .end()
  })
  t.is(text, 'first\nsecond\n')
})

test('a stream that fails breaks off and does not look complete', async (t) => {
  const { ask } = await start(t)
  await t.throwsAsync(ask('/broken', 'gzip'))
})

test('nothing is compressed unless it is asked for', async (t) => {
  const { ask } = await start(t, {})
  const { headers, body } = await ask('/text', 'gzip, br, zstd')
  t.like(headers, { 'content-encoding': undefined, vary: undefined })
  t.is(body.toString(), TEXT)
})

test('codings, level, length and types are options', async (t) => {
  const { ask } = await start(t, { compression: { encodings: ['gzip'], minBytes: 0, level: 9, types: ['image/*'] } })
  t.is((await ask('/text', 'gzip')).headers['content-encoding'], undefined)
  const { headers, body } = await ask('/image', 'br, gzip;q=0.1')
  t.is(headers['content-encoding'], 'gzip')
  t.is((await promisify(unzip)(body)).toString(), TEXT)
})
