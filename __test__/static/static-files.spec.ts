/** Files that the core sends by itself, as clients see them. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Config, Server, StaticOptions } from 'sluice'
import { Authority } from '../support/certificates.ts'
import { openSession, request } from '../support/http2-client.ts'
import { RawClient } from '../support/raw-client.ts'
import { answering, AppFolder, ask, portOf, startServer } from '../support/server.ts'

const run = promisify(execFile)

interface Site {
  readonly root: string
  readonly server: Server
  readonly app: AppFolder
  url(path: string): string
}

/** A server with one worker and a document root that `fill` has filled. */
async function site(t: ExecutionContext, options: Partial<StaticOptions>, fill: (root: string) => Promise<void>, config: Config = {}): Promise<Site> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'sluice-static-')))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const root = join(folder, 'public')
  await mkdir(root)
  await fill(root)
  const app = await AppFolder.create(t)
  const server = await startServer(t, { app: await app.write(answering('app')), workers: 1, static: { root, ...options }, ...config })
  return { root, server, app, url: (path) => `http://127.0.0.1:${portOf(server)}${path}` }
}

const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251))

test('curl gets files, parts of them, and 304 for what it has', async (t) => {
  const { url, root } = await site(t, { cacheControl: 'no-cache' }, async (root) => writeFile(join(root, 'a.bin'), bytes))
  const curl = async (...args: string[]): Promise<Buffer> => (await run('curl', ['-sS', '--fail', ...args], { encoding: 'buffer', maxBuffer: 1 << 24 })).stdout
  t.deepEqual(await curl(url('/a.bin')), bytes)
  t.deepEqual(await curl('--range', '1000-200999', url('/a.bin')), bytes.subarray(1000, 201_000))
  t.deepEqual(await curl('--range', '-10', url('/a.bin')), bytes.subarray(-10))
  const status = async (...args: string[]): Promise<string> => String(await curl('-o', '/dev/null', '-w', '%{http_code}', ...args))
  t.is(await status('-z', join(root, 'a.bin'), url('/a.bin')), '304')
  t.is(await status('-z', 'Sun, 06 Nov 1994 08:49:37 GMT', url('/a.bin')), '200')
  const head = String(await curl('-I', url('/a.bin')))
  t.regex(head, /^HTTP\/1\.1 200 OK\r\n/)
  t.regex(head, /\r\ncontent-length: 300000\r\n/)
  t.regex(head, /\r\ncache-control: no-cache\r\n/)
})

test('several ranges come as multipart/byteranges', async (t) => {
  const { server } = await site(t, {}, async (root) => writeFile(join(root, 'a.txt'), '0123456789'))
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET /a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1, 4-5, -1\r\n\r\n')
  const answer = await client.response()
  t.is(answer.status, 206)
  const boundary = /boundary=(\w+)$/.exec(answer.headers.get('content-type') ?? '')?.[1] ?? ''
  const parts = answer.text.split(`--${boundary}`).slice(1, -1)
  t.deepEqual(parts.map((part) => [/content-range: (.*)\r\n/.exec(part)?.[1], part.split('\r\n\r\n')[1]]), [
    ['bytes 0-1/10', '01\r\n'], ['bytes 4-5/10', '45\r\n'], ['bytes 9-9/10', '9\r\n'],
  ])
})

test('what is no file goes to the app, and nothing outside the root is sent', async (t) => {
  const { server, root } = await site(t, {}, async (root) => {
    await writeFile(join(root, 'a.txt'), 'file')
    await writeFile(join(root, '..', 'secret'), 'secret')
    await symlink('../secret', join(root, 'link'))
    await symlink('a.txt', join(root, 'inside'))
  })
  t.is((await ask(server, '/a.txt')).text, 'file')
  t.is((await ask(server, '/inside')).text, 'file')
  t.is((await ask(server, '/a.txt', 'POST')).text, 'app')
  for (const path of ['/none', '/link', '/../secret', '/%2e%2e/secret', '/..%2fsecret', '/%252e%252e/secret', '/..%5csecret', '//secret', `${root}/../secret`, '/a.txt%00', '/a.txt/../../secret']) {
    t.is((await ask(server, path)).text, 'app', path)
  }
  t.is((await ask(server, '/.env')).status, 403)
  const { requestCount, staticCount } = server.stats()
  await ask(server, '/a.txt')
  t.like(server.stats(), { requestCount, staticCount: staticCount + 1 })
})

test('a folder that is exchanged for a link to the outside is never followed', async (t) => {
  const { server, root } = await site(t, { fallthrough: false }, async (root) => {
    await mkdir(join(root, 'swap'))
    await writeFile(join(root, 'swap', 'file'), 'inside')
    await mkdir(join(root, '..', 'out'))
    await writeFile(join(root, '..', 'out', 'file'), 'secret')
    await symlink('../out', join(root, 'link'))
  })
  const done = new AbortController()
  const swapping = (async () => {
    while (!done.signal.aborted) {
      for (const [from, to] of [['swap', 'aside'], ['link', 'swap'], ['swap', 'link'], ['aside', 'swap']] as const) await rename(join(root, from), join(root, to))
    }
  })()
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  const seen = new Set<string>()
  for (let round = 0; round < 2000; round++) {
    client.send('GET /swap/file HTTP/1.1\r\nHost: a\r\n\r\n')
    const { text, status } = await client.response()
    seen.add(`${status} ${text}`)
  }
  done.abort()
  await swapping
  t.true(seen.has('200 inside'))
  t.deepEqual([...seen].filter((answer) => !['200 inside', '404 not-found\n', '503 file-unavailable\n'].includes(answer)), [])
})

test('a huge file that is read slowly takes no memory, holds up nobody and outlives a reload', async (t) => {
  const { server, app } = await site(t, {}, async (root) => {
    const file = await open(join(root, 'huge.bin'), 'w')
    await file.truncate(2 ** 30)
    await file.close()
    await writeFile(join(root, 'a.bin'), bytes)
  })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET /huge.bin HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.arrived(1000)
  client.pause()
  const before = process.memoryUsage.rss()
  await app.write(answering('new'))
  await server.reload()
  t.is((await ask(server, '/')).text, 'new')
  for (let round = 0; round < 20; round++) t.is((await ask(server, '/a.bin')).body.length, bytes.length)
  t.true(process.memoryUsage.rss() - before < 256 * 2 ** 20)
  const received = client.received
  client.resume()
  await client.arrived(received + 2 ** 24)
})

test('1 GiB reaches curl whole', async (t) => {
  const { url, root } = await site(t, {}, async (root) => {
    const file = await open(join(root, 'huge.bin'), 'w')
    await file.truncate(2 ** 30)
    await file.write('end', 2 ** 30 - 3)
    await file.close()
  })
  await t.notThrowsAsync(run('bash', ['-c', 'set -o pipefail; curl -sS --fail "$0" | cmp - "$1"', url('/huge.bin'), join(root, 'huge.bin')]))
})

test('files come over TLS and HTTP/2, in ranges and past a stalled stream', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const { server, url } = await site(t, {}, async (root) => {
    await writeFile(join(root, 'a.bin'), bytes)
    const file = await open(join(root, 'huge.bin'), 'w')
    await file.truncate(2 ** 30)
    await file.close()
  }, { listen: [{ port: 0 }, { port: 0, tls: { cert, key } }] })
  const { address } = server.port('main2')
  const port = 'port' in address ? address.port : 0
  for (const version of ['--http1.1', '--http2']) {
    const curl = async (...args: string[]): Promise<Buffer> =>
      (await run('curl', ['-sS', '--fail', version, '--cacert', authority.caFile, '--resolve', `a.test:${port}:127.0.0.1`, ...args], { encoding: 'buffer', maxBuffer: 1 << 24 })).stdout
    t.deepEqual(await curl(`https://a.test:${port}/a.bin`), bytes, version)
    t.deepEqual(await curl('--range', '70000-250000', `https://a.test:${port}/a.bin`), bytes.subarray(70_000, 250_001), version)
  }
  t.deepEqual((await run('curl', ['-sS', '--http2-prior-knowledge', url('/a.bin')], { encoding: 'buffer', maxBuffer: 1 << 24 })).stdout, bytes)
  const session = await openSession(t, server)
  const stalled = session.request({ ':path': '/huge.bin' })
  const [head] = (await once(stalled, 'response')) as [{ ':status': number; 'content-length': string }]
  t.is(`${head[':status']} ${head['content-length']}`, `200 ${2 ** 30}`)
  for (let round = 0; round < 5; round++) t.deepEqual((await request(session, '/a.bin')).body, bytes)
  stalled.close()
})

test('the configurations of docs/reference/static-files.md do what the page says', async (t) => {
  const page = await readFile(new URL('../../docs/reference/static-files.md', import.meta.url), 'utf8')
  const blocks = [...page.matchAll(/```js\n\/\/ sluice\.config\.js\n.*?defineConfig\((.*?)\n\}\)\n```/gs)].map(([, text]) => new Function(`return ${text}\n}`)() as { static: StaticOptions[] })
  const app = await AppFolder.create(t)
  await mkdir(app.path('dist/assets'), { recursive: true })
  await mkdir(app.path('public'))
  for (const name of ['dist/assets/a.js', 'dist/index.html', 'dist/b.js', 'public/c.txt']) await writeFile(app.path(name), name)
  await writeFile(app.path('dist/assets/a.js.gz'), 'packed')
  const appPath = await app.write(answering('app'))
  const [first, second] = await Promise.all(blocks.map((block) => startServer(t, { app: appPath, root: app.path('.'), workers: 1, static: block.static })))
  const client = await RawClient.connect(portOf(first!))
  t.teardown(() => client.destroy())
  client.send('GET /assets/a.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n')
  const packed = await client.response()
  t.is(packed.text, 'packed')
  t.like(Object.fromEntries(packed.headers), { 'cache-control': 'public, max-age=31536000, immutable', 'content-encoding': 'gzip', vary: 'accept-encoding' })
  t.is((await ask(first!, '/c.txt')).text, 'public/c.txt')
  t.is((await ask(first!, '/none')).text, 'app')
  t.is((await ask(second!, '/build-17/b.js')).text, 'dist/b.js')
  t.is((await ask(second!, '/app/deep/link?x')).text, 'dist/index.html')
  t.is((await ask(second!, '/other')).text, 'app')
})

test('a root that does not exist is an error that names it', async (t) => {
  const app = await AppFolder.create(t)
  const config = { app: await app.write(answering('app')), workers: 1, static: { root: '/nowhere/at/all' } }
  await t.throwsAsync(startServer(t, config), { code: 'ERR_SLUICE_INVALID_OPTION', message: /static\[0\]\.root must be a directory that exists, got "\/nowhere\/at\/all"/ })
})
