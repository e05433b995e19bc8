/** `ctx.file()`: files that the app names and the core sends. */
import { existsSync } from 'node:fs'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createServer, type Server } from 'sluice'
import { attachment } from '../../src-ts/http/file-body.ts'
import { openSession, request } from '../support/http2-client.ts'
import { RawClient, type RawResponse } from '../support/raw-client.ts'
import { portOf } from '../support/server.ts'

const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251))

interface Served {
  readonly root: string
  readonly server: Server
  readonly errors: unknown[]
  ask(path: string, fields?: string, method?: string): Promise<RawResponse>
}

/** A server in a folder with `a.txt` and `large.bin`, and its client. `app` is the source of what its module exports. */
async function serve(t: ExecutionContext, app: string): Promise<Served> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'sluice-file-')))
  t.teardown(() => rm(root, { recursive: true, force: true }))
  await writeFile(join(root, 'a.txt'), 'hello')
  await writeFile(join(root, 'large.bin'), bytes)
  const modulePath = join(root, 'app.mjs')
  await writeFile(modulePath, `export default ${app}`)
  const server = await createServer({ app: modulePath, root, listen: { port: 0 }, core: { threads: 1 }, workers: 1, stateDir: false })
  const errors: unknown[] = []
  server.on('error', (error) => void errors.push(error))
  server.on('workerError', (event) => void errors.push(event))
  t.teardown(() => server.shutdown({ timeout: 500 }))
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  return {
    root,
    server,
    errors,
    ask: (path, fields = '', method = 'GET') => {
      client.send(`${method} ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)
      return client.response(method)
    },
  }
}

test('a file is sent whole, in ranges and as 304, from root and by absolute path', async (t) => {
  const { ask, root } = await serve(t, `{ fetch: (req, ctx) => ctx.file(decodeURIComponent(new URL(req.url).pathname.slice(1)), { headers: { 'x-a': 'b' } }) }`)
  const whole = await ask('/a.txt')
  t.is(whole.text, 'hello')
  t.is(whole.headers.get('x-a'), 'b')
  t.is(whole.headers.get('content-type'), 'text/plain;charset=UTF-8')
  t.is((await ask(`/${encodeURIComponent(join(root, 'a.txt'))}`)).text, 'hello')
  t.deepEqual((await ask('/large.bin')).body, bytes)
  const part = await ask('/large.bin', 'Range: bytes=100000-299998\r\n')
  t.is(part.status, 206)
  t.deepEqual(part.body, bytes.subarray(100_000, 299_999))
  t.is((await ask('/a.txt', `If-None-Match: ${whole.headers.get('etag')}\r\n`)).status, 304)
  const head = await ask('/large.bin', '', 'HEAD')
  t.is(head.headers.get('content-length'), '300000')
})

test('requests in a pipeline are answered in order, files and others, after await too', async (t) => {
  const { server } = await serve(t, `{
    fetch: async (req, ctx) => {
      const path = new URL(req.url).pathname
      if (path === '/slow') await new Promise((resolve) => setTimeout(resolve, 50))
      return path === '/text' ? new Response('text') : ctx.file(path === '/slow' ? 'large.bin' : 'a.txt')
    },
  }`)
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send(['/slow', '/quick', '/text', '/quick'].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  t.is((await client.response()).body.length, bytes.length)
  t.is((await client.response()).text, 'hello')
  t.is((await client.response()).text, 'text')
  t.is((await client.response()).text, 'hello')
})

test('a missing file is 404, and app.error gets ERR_SLUICE_FILE', async (t) => {
  const plain = await serve(t, `{ fetch: (req, ctx) => ctx.file(new URL(req.url).pathname.slice(1) || '.') }`)
  t.is((await plain.ask('/none.txt')).status, 404)
  t.is((await plain.ask('/')).status, 404)
  t.is((await plain.ask('/a.txt')).text, 'hello')
  t.deepEqual(plain.errors, [])
  const handled = await serve(t, `{
    fetch: (_req, ctx) => ctx.file('none.txt'),
    error: (error) => {
      const { code, cause } = error
      return new Response(\`\${code} \${cause.code} \${cause.syscall}\`, { status: 410 })
    },
  }`)
  const answer = await handled.ask('/')
  t.is(`${answer.status} ${answer.text}`, '410 ERR_SLUICE_FILE ENOENT open')
})

test('a download has its name, and a file that is deleted after sending is gone', async (t) => {
  const { ask, root } = await serve(t, `{ fetch: (_req, ctx) => ctx.file('large.bin', { download: 'naïve "plan".pdf', deleteAfter: true }) }`)
  const answer = await ask('/')
  t.is(answer.headers.get('content-disposition'), `attachment; filename="na?ve \\"plan\\".pdf"; filename*=UTF-8''na%C3%AFve%20%22plan%22.pdf`)
  t.deepEqual(answer.body, bytes)
  for (let round = 0; existsSync(join(root, 'large.bin')) && round < 1000; round++) await delay(5)
  t.false(existsSync(join(root, 'large.bin')))
  t.is((await ask('/')).status, 404)
})

test('hooks see a Response whose header they may change and whose body they may read', async (t) => {
  const { ask } = await serve(t, `{
    fetch: (_req, ctx) => ctx.file('a.txt'),
    hooks: {
      responseGenerated: async (req, response) => {
        response.headers.set('x-length', String((await response.clone().text()).length))
        if (new URL(req.url).pathname === '/typed') response.headers.set('content-type', 'text/x-own')
        if (new URL(req.url).pathname === '/replaced') return new Response(response.body, { status: 201 })
        return undefined
      },
    },
  }`)
  const answer = await ask('/', 'Range: bytes=1-2\r\n')
  t.is(`${answer.status} ${answer.text} ${answer.headers.get('x-length')}`, '206 el 5')
  t.is((await ask('/typed')).headers.get('content-type'), 'text/x-own')
  const replaced = await ask('/replaced')
  t.is(`${replaced.status} ${replaced.text}`, '201 hello')
})

test('a detached request may be answered with a file, in ranges', async (t) => {
  const { ask } = await serve(t, `{
    fetch(req, ctx) {
      const request = ctx.detach()
      const file = ctx.file('a.txt')
      setImmediate(async () => {
        const { server } = await import(${JSON.stringify(import.meta.resolve('sluice'))})
        await server.respond(request, file)
      })
    },
  }`)
  const answer = await ask('/', 'Range: bytes=1-3\r\n')
  t.is(`${answer.status} ${answer.text}`, '206 ell')
})

test('files come over HTTP/2', async (t) => {
  const { server, root } = await serve(t, `{ fetch: (req, ctx) => ctx.file(new URL(req.url).pathname.slice(1), { deleteAfter: req.headers.has('x-delete') }) }`)
  const session = await openSession(t, server)
  const [whole, part, small] = await Promise.all([request(session, '/large.bin'), request(session, '/large.bin', { range: 'bytes=1000-250000' }), request(session, '/a.txt')])
  t.deepEqual(whole.body, bytes)
  t.is(part.status, 206)
  t.deepEqual(part.body, bytes.subarray(1000, 250_001))
  t.is(small.text, 'hello')
  t.is((await request(session, '/none.txt')).status, 404)
  t.deepEqual((await request(session, '/large.bin', { 'x-delete': '1' })).body, bytes)
  for (let round = 0; existsSync(join(root, 'large.bin')) && round < 1000; round++) await delay(5)
  t.false(existsSync(join(root, 'large.bin')))
})

test('a path or an option that cannot be used is an error of the handler', async (t) => {
  const { ask } = await serve(t, `{
    fetch: (req, ctx) => {
      const wrong = [[''], ['a\\0b'], [7], ['a', { download: 7 }], ['a', { deleteAfter: 'yes' }], ['a', { headers: { 'x y': 'z' } }]][Number(new URL(req.url).pathname.slice(1))]
      try {
        return ctx.file(...wrong)
      } catch (error) {
        return new Response((error).code)
      }
    },
  }`)
  for (let index = 0; index < 6; index++) t.is((await ask(`/${index}`)).text, 'ERR_SLUICE_INVALID_ARG', String(index))
})

for (const [name, expected] of [
  ['report.pdf', 'attachment; filename="report.pdf"'],
  ['a "b" \\ c', 'attachment; filename=" c"'],
  ['say "hi".txt', 'attachment; filename="say \\"hi\\".txt"'],
  ['100%.txt', `attachment; filename="100%.txt"; filename*=UTF-8''100%25.txt`],
  ['你好.txt', `attachment; filename="??.txt"; filename*=UTF-8''%E4%BD%A0%E5%A5%BD.txt`],
  ['../../etc/passwd', 'attachment; filename="passwd"'],
  ['a\r\nb: c', 'attachment; filename="a__b: c"'],
  ["it's (1)*.txt", 'attachment; filename="it\'s (1)*.txt"'],
  ['\ud800.txt', `attachment; filename="?.txt"; filename*=UTF-8''%EF%BF%BD.txt`],
] as const) {
  test(`a download called ${JSON.stringify(name)}`, (t) => t.is(attachment(name), expected))
}
