import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { defineTable, serve, t as column, table, type Server } from 'sluice'
import { tablesDirectories } from '../../src-ts/table/directory.ts'
import { AppFolder, ask, next, startServer } from '../support/server.ts'

const sluice = import.meta.resolve('sluice')

/** An application whose answers tell the worker and what a table has. `name` is unique: tables live as long as the process. */
const counting = (name: string, spec = '{ size: 64, columns: { hits: t.int(), last: t.string(8) } }'): string => `
import { defineTable, server, t } from ${JSON.stringify(sluice)}
const users = defineTable(${JSON.stringify(name)}, ${spec})
export default {
  fetch(req, ctx) {
    const path = new URL(req.url).pathname
    if (path === '/crash') setImmediate(() => { throw new Error('on purpose') })
    users.incr(path, 'hits')
    users.set(path, 'last', 'w' + ctx.worker.id)
    return Response.json({ worker: ctx.worker.id, ...users.get(path) })
  }
}`

interface Answer {
  readonly worker: number
  readonly hits: number
  readonly last: string
}

async function answer(server: Server, path = '/'): Promise<Answer> {
  const { status, text } = await ask(server, path)
  if (status !== 200) throw new Error(`${status} ${text}`)
  return JSON.parse(text) as Answer
}

test('all workers and the master have the same rows', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(counting('server-spec-same')), workers: 2, dispatch: 'round-robin' })
  const workers = new Set<number>()
  for (let hits = 1; hits <= 10; hits++) {
    const { worker, ...row } = await answer(server)
    t.deepEqual(row, { hits, last: `w${worker}` })
    workers.add(worker)
  }
  t.deepEqual([...workers].sort(), [0, 1])
  const here = defineTable('server-spec-same', { size: 64, columns: { hits: column.int(), last: column.string(8) } })
  t.is(here.get('/', 'hits'), 10)
})

test('rows outlive a reload, and a worker that crashes', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(counting('server-spec-kept')), workers: 1 })
  t.is((await answer(server)).hits, 1)
  t.true((await server.reload()).ok)
  t.is((await answer(server)).hits, 2)
  const died = next(server, 'workerError')
  const serving = next(server, 'workerStart', ({ reason }) => reason === 'crash')
  await ask(server, '/crash')
  t.is((await died)[0].error?.message, 'on purpose')
  await serving
  t.is((await answer(server)).hits, 3)
})

test('a reload with a changed table fails, says what differs, and the old code goes on', async (t) => {
  const folder = await AppFolder.create(t)
  const app = await folder.write(counting('server-spec-changed'))
  const server = await startServer(t, { app, workers: 1 })
  t.is((await answer(server)).hits, 1)
  await folder.write(counting('server-spec-changed', '{ size: 128, columns: { hits: t.int(), last: t.string(8) } }'))
  const { ok, error } = await server.reload()
  t.false(ok)
  t.like(error?.cause, { code: 'ERR_SLUICE_TABLE_MISMATCH' })
  t.regex(String(error?.cause), /"server-spec-changed" .* `size` is 64, not 128.* restart/)
  t.is((await answer(server)).hits, 2)
  // A new name is a new table.
  await folder.write(counting('server-spec-renamed', '{ size: 128, columns: { hits: t.int(), last: t.string(8) } }'))
  t.true((await server.reload()).ok)
  t.is((await answer(server)).hits, 1)
})

test('tables of the configuration are server.tables in every thread', async (t) => {
  const folder = await AppFolder.create(t)
  const app = await folder.write(`
import { server } from ${JSON.stringify(sluice)}
export default { fetch: () => Response.json({ names: Object.keys(server.tables), value: server.tables.conf.incr('a', 'value') }) }`)
  const server = await startServer(t, { app, workers: 2, dispatch: 'round-robin', tables: { conf: table({ size: 1024, columns: { value: column.int() } }) } })
  for (let value = 1; value <= 4; value++) t.deepEqual(JSON.parse((await ask(server, '/')).text), { names: ['conf'], value })
  t.is(server.tables['conf']?.get('a', 'value'), 4)
  t.is(server.tables['other'], undefined)
})

test('an inline server has them too', async (t) => {
  const server = await serve({ port: 0, stateDir: false, tables: { inline: { size: 4, columns: { n: column.int() } } }, fetch: () => new Response('') })
  t.teardown(() => server.shutdown())
  server.tables['inline']?.set('a', { n: 5 })
  t.deepEqual(server.tables['inline']?.get('a'), { n: 5 })
})

test('a table that cannot be made fails the start, and nothing is left running', async (t) => {
  const folder = await AppFolder.create(t)
  const app = await folder.write('export default { fetch: () => new Response("") }')
  const huge = table({ size: 2 ** 30, columns: { a: column.bytes(2 ** 20), b: column.bytes(2 ** 20), c: column.bytes(2 ** 20) } })
  await t.throwsAsync(startServer(t, { app, workers: 1, tables: { huge } }), { message: /"huge" .* are available/, code: 'ERR_SLUICE_TABLE_FILE' })
  defineTable('server-spec-taken', { size: 4, columns: { n: column.int() } })
  await t.throwsAsync(startServer(t, { app, workers: 1, tables: { 'server-spec-taken': { size: 5, columns: { n: column.int() } } } }), { code: 'ERR_SLUICE_TABLE_MISMATCH' })
})

for (const [what, tables, message] of [
  ['a list', [], /^tables must be an object of tables by name/],
  ['a wrong name', { 'a b': { size: 1, columns: { n: column.int() } } }, /tables\.a b must have a name/],
  ['a wrong table', { a: { size: 0, columns: { n: column.int() } } }, /^tables\.a\.size must be a whole number of rows from 1 to \d+, got 0/],
  ['a wrong column', { a: { size: 1, columns: { n: 'int' } } }, /^tables\.a\.columns\.n must be one of t\.int\(\).* got "int"/],
] as const) {
  test(`the configuration refuses ${what}`, async (t) => {
    await t.throwsAsync(startServer(t, { app: './none.js', tables: tables as never }), { code: 'ERR_SLUICE_INVALID_OPTION', message })
  })
}

/** The program of another process, which the server has started. */
async function elsewhere(source: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `import { defineTable, t } from ${JSON.stringify(sluice)}\n${source}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  const output = text(child.stdout)
  await once(child, 'exit')
  return output
}

// The directory of tables is one of the whole process.
test.serial('with a named state directory, processes that the server starts have the same tables; a stop removes the files', async (t) => {
  const folder = await AppFolder.create(t)
  const stateDir = folder.path('state')
  const server = await startServer(t, { app: await folder.write(counting('server-spec-file')), workers: 1, stateDir, tables: { 'server-spec-conf': { size: 4, columns: { n: column.int() } } } })
  t.is((await answer(server)).hits, 1)
  const directory = usedDirectory(stateDir)
  t.deepEqual(readdirSync(directory).sort(), ['server-spec-conf.table', 'server-spec-file.table'])
  t.is(statSync(directory).mode & 0o777, 0o700)
  t.is(statSync(`${directory}/server-spec-file.table`).mode & 0o777, 0o600)
  t.is(
    await elsewhere(`
const users = defineTable('server-spec-file', { size: 64, columns: { hits: t.int(), last: t.string(8) } })
console.log(JSON.stringify([users.get('/'), users.incr('/', 'hits', 10), users.size]))`),
    '[{"hits":1,"last":"w0"},11,1]\n',
  )
  t.is((await answer(server)).hits, 12)
  t.is(await elsewhere("try { defineTable('server-spec-file', { size: 5, columns: { hits: t.int() } }) } catch (error) { console.log(error.code) }"), 'ERR_SLUICE_TABLE_MISMATCH\n')
  await server.shutdown()
  t.false(existsSync(directory))
  t.is(process.env['SLUICE_TABLES'], undefined)
})

test.serial('a directory in /dev/shm that is not ours alone is not used', async (t) => {
  const folder = await AppFolder.create(t)
  const stateDir = folder.path('state')
  mkdirSync(stateDir)
  const [preferred = '', other = ''] = tablesDirectories(stateDir)
  symlinkSync(folder.path('.'), preferred)
  t.teardown(() => rmSync(preferred))
  const server = await startServer(t, { app: await folder.write(counting('server-spec-other')), workers: 1, stateDir })
  t.is((await answer(server)).hits, 1)
  t.deepEqual(readdirSync(other), ['server-spec-other.table'])
  await server.shutdown()
  t.false(existsSync(other))
})

function usedDirectory(stateDir: string): string {
  const directory = tablesDirectories(stateDir).find((path) => existsSync(path))
  if (directory === undefined) throw new Error('There is no directory of tables')
  return directory
}
