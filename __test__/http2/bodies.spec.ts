/** Bodies that are changed on their way, over HTTP/2: the worker does it, so it must not matter how they travel. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { serve, type App, type DetachedRequest, type Server, type ServeOptions } from 'sluice'
import { openSession, post, request } from '../support/http2-client.ts'

const TEXT = 'The quick brown fox jumps over the lazy dog. '.repeat(10_000)
const detached: DetachedRequest[] = []

const app: App = {
  async fetch(req, ctx) {
    switch (new URL(req.url).pathname) {
      case '/form': {
        const form = await ctx.form()
        return Response.json({ fields: form.fields, files: form.files.map(({ name, size, error }) => ({ name, size, error })) })
      }
      case '/stream':
        return new Response(new Blob([TEXT]).stream(), { headers: { 'content-type': 'text/plain' } })
      case '/echo':
        return new Response(String((await req.text()).length))
      case '/detach':
        detached.push(ctx.detach())
        return undefined
      default:
        return new Response(TEXT)
    }
  },
}

async function start(t: ExecutionContext, options: ServeOptions = {}): Promise<Server> {
  const server = await serve(app, { port: 0, stateDir: false, ...options })
  server.on('error', () => undefined)
  t.teardown(() => server.shutdown({ timeout: 500 }))
  return server
}

test('answers are compressed, whole and streamed', async (t) => {
  const session = await openSession(t, await start(t, { compression: true }))
  for (const path of ['/', '/stream']) {
    const coded = await request(session, path, { 'accept-encoding': 'gzip' })
    t.like(coded.headers, { 'content-encoding': 'gzip', vary: 'accept-encoding' })
    t.is((await promisify(gunzip)(coded.body)).toString(), TEXT)
    const other = await request(session, path, { 'accept-encoding': 'br' })
    t.is((await promisify(brotliDecompress)(other.body)).toString(), TEXT)
    t.is((await request(session, path)).text, TEXT)
    const head = await request(session, path, { ':method': 'HEAD', 'accept-encoding': 'gzip' })
    t.is(head.headers['content-encoding'], 'gzip')
    t.is(head.body.length, 0)
  }
})

test('request bodies are decoded, short and long ones', async (t) => {
  const session = await openSession(t, await start(t, { decompression: true }))
  for (const length of [10, 3_000_000]) {
    const body = gzipSync(Buffer.from(Array.from({ length }, (_, at) => 97 + ((at * 7919) % 26))))
    t.is((await post(session, '/echo', body, { 'content-encoding': 'gzip' })).text, String(length))
  }
  t.is((await post(session, '/echo', 'x', { 'content-encoding': 'gzip' })).status, 400)
})

test('forms are read, their files gone with their requests', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-http2-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const server = await start(t, { uploads: { dir } })
  const session = await openSession(t, server)
  for (const size of [10, 3_000_000]) {
    const body = `--x\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--x\r\ncontent-disposition: form-data; name=f; filename=b\r\n\r\n${'y'.repeat(size)}\r\n--x--`
    const { text } = await post(session, '/form', body, { 'content-type': 'multipart/form-data; boundary=x' })
    t.deepEqual(JSON.parse(text), { fields: { a: '1' }, files: [{ name: 'b', size, error: 0 }] })
  }
  session.close()
  await server.shutdown({ timeout: 1000 })
  t.deepEqual(await readdir(dir), [])
})

test('a request is answered later', async (t) => {
  const server = await start(t)
  const session = await openSession(t, server)
  const answer = request(session, '/detach')
  while (detached.length === 0) await new Promise(setImmediate)
  t.true(await server.respond(detached[0]!, new Response('later')))
  t.is((await answer).text, 'later')
  t.false(await server.respond(detached[0]!, new Response('again')))
})
