/** HTTP/2 with the programs that people have: curl, nghttp, h2load, h2spec; in plain text and over TLS. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Config, Server } from 'sluice'

import { Authority } from '../support/certificates.ts'
import { request } from '../support/http2-client.ts'
import { portOf, startServer } from '../support/server.ts'

const run = promisify(execFile)
const app = fileURLToPath(new URL('../fixtures/http2.mjs', import.meta.url))
const start = (t: ExecutionContext, config: Config = {}): Promise<Server> => startServer(t, { app, workers: 1, ...config })

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sluice-http2-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

test('curl sends and gets a megabyte', async (t) => {
  const server = await start(t)
  const directory = await folder(t)
  const [sent, got] = [join(directory, 'sent'), join(directory, 'got')]
  await writeFile(sent, randomBytes(1_000_000))
  const { stdout } = await run('curl', ['-sS', '--http2-prior-knowledge', '--data-binary', `@${sent}`, '-o', got, '-w', '%{http_version} %{http_code}', `${server.port().url}/mirror`])
  t.is(stdout, '2 200')
  t.true((await readFile(got)).equals(await readFile(sent)))
})

test('curl is served HTTP/2 over TLS, HTTP/1.1 when it asks for that, and only that with http2: false', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const get = async (server: Server, ...more: string[]) => {
    const port = portOf(server)
    const { stdout } = await run('curl', ['-sS', '--cacert', authority.caFile, '--resolve', `a.test:${port}:127.0.0.1`, '-w', ' %{http_version}', ...more, `https://a.test:${port}/head`])
    return { seen: JSON.parse(stdout.slice(0, stdout.lastIndexOf(' '))) as { url: string }, version: stdout.slice(stdout.lastIndexOf(' ') + 1) }
  }
  const server = await start(t, { tls: { cert, key } })
  const second = await get(server)
  t.is(second.version, '2')
  t.regex(second.seen.url, /^https:/)
  t.is((await get(server, '--http1.1')).version, '1.1')
  t.is((await get(await start(t, { tls: { cert, key }, http2: false }))).version, '1.1')
})

test('node:http2 is served over TLS', async (t) => {
  const authority = await Authority.create(t)
  const { certFile: cert, keyFile: key } = await authority.sign('a', ['a.test'])
  const server = await start(t, { tls: { cert, key } })
  const session = connect(server.port().url, { ca: await readFile(authority.caFile), servername: 'a.test' })
  t.teardown(() => session.destroy())
  const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => request(session, `/big?bytes=${i * 10_000}`)))
  t.deepEqual(answers.map(({ body }) => body.length), Array.from({ length: 30 }, (_, i) => i * 10_000))
})

test('nghttp gets answers with its trees of priorities, and fields in CONTINUATION', async (t) => {
  const server = await start(t)
  const { stdout } = await run('nghttp', ['-v', '--no-dep', '--continuation', '-H', `x-long: ${'y'.repeat(30_000)}`, `${server.port().url}/lines?count=10`])
  t.regex(stdout, /recv \(stream_id=\d+\) :status: 200/)
  t.regex(stdout, /000000000000009\n/)
  const { stdout: many } = await run('nghttp', ['-n', '-s', '-m', '20', `${server.port().url}/`])
  t.is(many.match(/ 200 /g)?.length, 20)
})

test('h2load: not one of 20 000 requests fails', async (t) => {
  const server = await start(t)
  const { stdout } = await run('h2load', ['-n', '20000', '-c', '4', '-m', '64', `${server.port().url}/`])
  t.regex(stdout, /20000 succeeded, 0 failed, 0 errored, 0 timeout/)
})

// In plain text the port speaks HTTP/1.1, too, and answers what is no preface of HTTP/2 by a 400.
for (const [how, isSecure, expected] of [['in plain text', false, ['2: Sends invalid connection preface']], ['over TLS', true, []]] as const) {
  test(`h2spec finds nothing ${how}`, async (t) => {
    const path = await h2spec(t)
    if (path === undefined) return t.log('skipped: there is no h2spec, and no go to build it'), t.pass()
    const authority = await Authority.create(t)
    const { certFile: cert, keyFile: key } = await authority.sign('a', ['localhost'])
    const server = await start(t, isSecure ? { tls: { cert, key } } : {})
    const { stdout } = await run(path, ['-h', '127.0.0.1', '-p', String(portOf(server)), '-o', '4', '-P', '/late', ...(isSecure ? ['-t', '-k'] : [])]).catch((error: { stdout: string }) => error)
    const failed = new Set([...stdout.matchAll(/× (.*)/g)].map(([, name]) => name!))
    t.deepEqual([...failed], [...expected], stdout.slice(stdout.indexOf('Failures:')))
    t.true(Number(/(\d+) passed/.exec(stdout)?.[1]) >= 144, stdout.slice(-200))
  })
}

/** The program, built by go where that is installed. */
async function h2spec(t: ExecutionContext): Promise<string | undefined> {
  if (await run('h2spec', ['--version']).then(() => true, () => false)) return 'h2spec'
  if (!(await run('go', ['version']).then(() => true, () => false))) return undefined
  const GOBIN = await folder(t)
  try {
    await run('go', ['install', 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible'], { env: { ...process.env, GOBIN, GOFLAGS: '-mod=mod' }, timeout: 120_000 })
    return join(GOBIN, 'h2spec')
  } catch (error) {
    t.log(`h2spec could not be built: ${String(error).slice(0, 200)}`)
    return undefined
  }
}
