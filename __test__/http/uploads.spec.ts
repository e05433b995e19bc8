import { execFile } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { serve, type App, type Server, type Uploads } from 'sluice'
import { RawClient } from '../support/raw-client.ts'
import { next, portOf, startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/uploads.mjs', import.meta.url))
const run = promisify(execFile)

interface Told {
  readonly fields: Record<string, string | string[]>
  readonly entries: [string, string][]
  readonly prototype: unknown
  readonly used: boolean
  readonly files: { field: string; name: string; type: string; size: number; error: number; path: string; text: string | null; same: boolean | null }[]
}

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'sluice-uploads-test-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A server with a directory of its own for files. */
async function start(t: ExecutionContext, uploads: Uploads = {}): Promise<{ server: Server; dir: string; post: (...args: string[]) => Promise<Told> }> {
  const dir = await folder(t)
  const server = await startServer(t, { app, workers: 1, uploads: { dir, ...uploads } })
  const post = async (...args: string[]): Promise<Told> => JSON.parse(await curl(server, ...args)) as Told
  return { server, dir, post }
}

/** What curl gives; the first argument is the path if it begins with a slash. */
async function curl(server: Server, ...args: string[]): Promise<string> {
  const path = args[0]?.startsWith('/') ? args.shift() : '/'
  const { stdout } = await run('curl', ['-sS', ...args, `${server.url}${path}`], { maxBuffer: 1 << 26 })
  return stdout
}

const status = (server: Server, ...args: string[]): Promise<string> => curl(server, ...args, '-o', '/dev/null', '-w', '%{http_code}')

/** Every file below a directory but locks. */
async function filesIn(dir: string): Promise<string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true })
  return found.filter((entry) => entry.isFile() && entry.name !== 'lock').map((entry) => entry.name)
}

/** Waits until the disk is as `isSo` wants it; removing is done by a thread that nobody waits for. */
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`waited 20 s for ${what}`)
    await new Promise(setImmediate)
  }
}

test('curl -F: fields and files arrive, and the files are gone with the request', async (t) => {
  const { dir, post } = await start(t)
  const small = join(dir, 'small "q".txt')
  const large = join(dir, 'large.bin')
  await writeFile(small, 'hello file')
  await writeFile(large, Buffer.alloc(3_000_000, 'x'))
  const told = await post('-F', 'a=1', '-F', 'b=café', '-F', 'a=2', '-F', '__proto__=p', '-F', `f=@"${small.replaceAll('"', '\\"')}";type=text/x-own`, '-F', `g=@${large}`)
  t.deepEqual(told.fields, JSON.parse('{"a":["1","2"],"b":"café","__proto__":"p"}') as Told['fields'])
  t.deepEqual(told.entries, [['a', '1'], ['b', 'café'], ['a', '2'], ['__proto__', 'p']])
  t.is(told.prototype, null)
  t.true(told.used)
  const [one, two] = told.files
  t.like(one, { field: 'f', name: 'small "q".txt', type: 'text/x-own', size: 10, error: 0, text: 'hello file', same: true })
  t.like(two, { field: 'g', name: 'large.bin', type: 'application/octet-stream', size: 3_000_000, error: 0 })
  await rm(small)
  await rm(large)
  await until('the files to be removed', async () => (await filesIn(dir)).length === 0)
  t.false(existsSync(one!.path))
})

test('a file that is moved stays, with the mode that was asked for', async (t) => {
  const { dir, post } = await start(t)
  const from = join(dir, 'from.txt')
  const to = join(dir, 'to.txt')
  await writeFile(from, 'stays')
  await post(`/move?to=${encodeURIComponent(to)}`, '-F', `f=@${from}`)
  t.is(await readFile(to, 'utf8'), 'stays')
  t.is(statSync(to).mode & 0o777, 0o640)
  await until('the rest to be removed', async () => (await filesIn(dir)).length === 2)
})

test('after() still finds the files', async (t) => {
  const { dir, server } = await start(t)
  const from = join(dir, 'from.txt')
  await writeFile(from, 'still')
  const after = next(server, 'message', (_from, said) => 'after' in (said as object))
  await curl(server, '/after', '-F', `f=@${from}`)
  t.deepEqual((await after)[1], { after: 'still' })
  await until('the file to be removed', async () => (await filesIn(dir)).length === 1)
})

test('small files stay in memory with spoolAbove, and no longer ones', async (t) => {
  const { dir, post } = await start(t, { spoolAbove: 10 })
  const [at, above] = [join(dir, 'at'), join(dir, 'above')]
  await writeFile(at, '0123456789')
  await writeFile(above, '0123456789a')
  const { files } = await post('-F', `f=@${at}`, '-F', `g=@${above}`)
  t.like(files[0], { size: 10, path: '', text: '0123456789', error: 0 })
  t.like(files[1], { size: 11, text: '0123456789a', error: 0, same: true })
  t.not(files[1]!.path, '')
  const to = join(dir, 'to')
  await post(`/move?to=${encodeURIComponent(to)}`, '-F', `f=@${at}`)
  t.is(await readFile(to, 'utf8'), '0123456789')
})

test('a file beyond fileBytes, one beyond what the form says, and none at all have their numbers', async (t) => {
  const { dir, post } = await start(t, { fileBytes: 5000 })
  const [fits, large] = [join(dir, 'fits'), join(dir, 'large')]
  await writeFile(fits, Buffer.alloc(5000))
  await writeFile(large, Buffer.alloc(5001))
  const { files } = await post('-F', `a=@${fits}`, '-F', `b=@${large}`, '-F', 'MAX_FILE_SIZE=4999', '-F', `c=@${fits}`, '-F', 'd=;filename=')
  t.deepEqual(files.map(({ error, size }) => [error, size]), [[0, 5000], [1, 0], [2, 0], [4, 0]])
  t.is(files[1]!.path, '')
})

test('a form beyond its bounds is 413, at its bounds it is not', async (t) => {
  const { dir, server } = await start(t, { maxBytes: 100_000, fields: 2, files: 1, fieldBytes: 10 })
  const file = join(dir, 'f')
  await writeFile(file, 'x')
  t.is(await status(server, '-F', 'a=0123456789', '-F', 'b=1', '-F', `f=@${file}`), '200')
  t.is(await status(server, '-F', 'a=01234567890'), '413')
  t.is(await status(server, '-F', 'a=1', '-F', 'b=1', '-F', 'c=1'), '413')
  t.is(await status(server, '-F', `f=@${file}`, '-F', `g=@${file}`), '413')
  await writeFile(file, Buffer.alloc(100_000))
  t.is(await status(server, '-F', `f=@${file}`), '413')
  await rm(file)
  await until('what was written of it to be removed', async () => (await filesIn(dir)).length === 0)
})

test('what is kept in memory of a form is bound by limits.bodyBytes', async (t) => {
  const dir = await folder(t)
  const server = await startServer(t, { app, workers: 1, uploads: { dir }, limits: { bodyBytes: 1000 } })
  t.is(await status(server, '-F', `a=${'x'.repeat(999)}`), '200')
  t.is(await status(server, '-F', `a=${'x'.repeat(1000)}`), '413')
  t.is(await status(server, '-F', `a=${'x'.repeat(600)}`, '-F', `b=${'x'.repeat(600)}`), '413')
})

test('a urlencoded form has fields, and as many as it may', async (t) => {
  const { server, post } = await start(t, { fields: 3 })
  const told = await post('-d', 'a=1&b=caf%C3%A9+x&a=2')
  t.deepEqual(told.fields, { a: ['1', '2'], b: 'café x' })
  t.deepEqual(told.files, [])
  t.is(await status(server, '-d', 'a&b&c&d'), '413')
  t.deepEqual((await post('-d', '')).fields, {})
})

test('another type is 415, a malformed form 400', async (t) => {
  const { server } = await start(t)
  const type = (value: string): string[] => ['-H', `content-type: ${value}`, '--data-binary', 'x']
  for (const value of ['text/plain', 'application/json', 'multipart/form-data', 'multipart/mixed; boundary=a']) t.is(await status(server, ...type(value)), '415', value)
  t.is(await status(server, ...type('multipart/form-data; boundary=a')), '400')
})

test('a directory that is not there is error 6, and moveTo() says so', async (t) => {
  const dir = await folder(t)
  const file = join(dir, 'f')
  await writeFile(file, 'x')
  const { server, post } = await start(t, { dir: join(dir, 'none') })
  t.like((await post('-F', `f=@${file}`)).files[0], { error: 6, path: '', size: 1 })
  const error = next(server, 'error')
  t.is(await status(server, '/move?to=/tmp/never', '-F', `f=@${file}`), '500')
  const [reported] = await error
  t.is((reported as Error & { code: string }).code, 'ERR_SLUICE_UPLOAD')
  t.regex(reported.message, /no directory.*No such file/)
})

test('a client that leaves in the middle leaves no files', async (t) => {
  const { dir, server } = await start(t)
  const reading = next(server, 'message', (_from, said) => 'reading' in (said as object))
  const failed = next(server, 'message', (_from, said) => 'failed' in (said as object))
  const client = await RawClient.connect(portOf(server))
  client.send('POST /partial HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n')
  client.send(`--x\r\ncontent-disposition: form-data; name=f; filename=a\r\n\r\n${'y'.repeat(500_000)}`)
  await reading
  await until('some of it to be on disk', async () => (await filesIn(dir)).length === 1)
  client.reset()
  t.deepEqual((await failed)[1], { failed: 'AbortError' })
  await until('it to be removed', async () => (await filesIn(dir)).length === 0)
})

test('a worker that dies leaves no files, neither of a whole form nor of a part of one', async (t) => {
  const { dir, server } = await start(t)
  const file = join(dir, 'f')
  await writeFile(file, 'hello')
  const told = next(server, 'message', (_from, said) => 'files' in (said as object))
  const reading = next(server, 'message', (_from, said) => 'reading' in (said as object))
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('POST /partial HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n')
  client.send(`--x\r\ncontent-disposition: form-data; name=f; filename=a\r\n\r\n${'y'.repeat(500_000)}`)
  await reading
  await until('some of it to be on disk', async () => (await filesIn(dir)).length === 2)
  t.is(await status(server, '/die', '-F', `f=@${file}`), '503')
  const [{ path }] = ((await told)[1] as Told).files as [Told['files'][0]]
  await until('they to be removed', async () => !existsSync(path) && (await filesIn(dir)).length === 1)
})

test('nothing is left when the server has stopped', async (t) => {
  const { dir, post, server } = await start(t)
  const file = join(await folder(t), 'f')
  await writeFile(file, 'hello')
  await post('-F', `f=@${file}`)
  await server.shutdown({ timeout: 500 })
  t.deepEqual(await readdir(dir), [])
})

test('the body is read once, as a form or otherwise; the form is always the same', async (t) => {
  const app: App = {
    async fetch(req, ctx) {
      if (req.url.endsWith('/form-first')) {
        const form = await ctx.form()
        const again = await req.text().catch((error: Error) => error.name)
        return Response.json([form === (await ctx.form()), again, form instanceof FormData, form.get('a')])
      }
      await req.text()
      return Response.json(await ctx.form().catch((error: Error) => error.name))
    },
  }
  const server = await serve(app, { port: 0, stateDir: false })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  t.deepEqual(JSON.parse(await curl(server, '/form-first', '-d', 'a=1')), [true, 'TypeError', true, '1'])
  t.deepEqual(JSON.parse(await curl(server, '/form-first', '-F', 'a=1')), [true, 'TypeError', true, '1'])
  t.is(JSON.parse(await curl(server, '/text-first', '-F', 'a=1')), 'TypeError')
})

test('a large form is taken no faster than it is written, and comes out whole', async (t) => {
  const { dir, post } = await start(t, { maxBytes: 200_000_000 })
  const file = join(dir, 'f')
  await writeFile(file, Buffer.alloc(100_000_000, 'z'))
  t.like((await post('-F', `f=@${file}`)).files[0], { size: 100_000_000, error: 0 })
})
