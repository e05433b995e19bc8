import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ava, { type ExecutionContext } from 'ava'
import { attachTable, serve, t as column, type Server, type Table } from 'sluice'
import { removeState } from '../support/state-dir.ts'

// The directory of tables is one of the whole process.
const test = ava.serial
const sluice = import.meta.resolve('sluice')

function place(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-persist-'))
  t.teardown(() => {
    removeState(join(path, 'state'))
    rmSync(path, { recursive: true, force: true })
  })
  return path
}

const columns = { n: column.int(), name: column.string(16) }

/** A server with one table, kept in `folder`. */
async function start(t: ExecutionContext, folder: string, more: { columns?: object; size?: number; persistEvery?: number } = {}): Promise<Server> {
  const rows = { size: 100, columns, persist: join(folder, 'rows.snapshot'), ...more } as never
  const server = await serve({ port: 0, host: '127.0.0.1', tables: { rows }, stateDir: join(folder, 'state'), fetch: () => new Response('') })
  t.teardown(() => server.shutdown())
  return server
}

const rowsOf = ({ tables }: Server): Table => tables['rows'] as Table

test('rows come back after a stop, with the time they have to live', async (t) => {
  const folder = place(t)
  const first = await start(t, folder)
  rowsOf(first).set('ada', { n: 1, name: 'Ada' })
  rowsOf(first).set('brief', { n: 2 }, { ttl: 3_600_000 })
  await first.shutdown()
  const snapshot = statSync(join(folder, 'rows.snapshot'))
  t.is(snapshot.mode & 0o777, 0o600)

  const second = await start(t, folder)
  t.deepEqual(Object.fromEntries(rowsOf(second)), { ada: { n: 1, name: 'Ada' }, brief: { n: 2, name: '' } })
  t.is(rowsOf(second).size, 2)
})

test('columns may be added and removed; one of another type fails the start and keeps the rows', async (t) => {
  const folder = place(t)
  const first = await start(t, folder)
  rowsOf(first).set('ada', { n: 1, name: 'Ada' })
  await first.shutdown()

  await t.throwsAsync(start(t, folder, { columns: { n: column.float() } }), { code: 'ERR_SLUICE_TABLE_MISMATCH', message: /rows\.snapshot has the column "n" as int, the table as float/ })
  const second = await start(t, folder, { columns: { name: column.string(8), more: column.bool() } })
  t.deepEqual(Object.fromEntries(rowsOf(second)), { ada: { name: 'Ada', more: false } })
})

test('a snapshot that is damaged, foreign or too large fails the start with its path, and is not touched', async (t) => {
  const folder = place(t)
  const first = await start(t, folder)
  for (let number = 0; number < 50; number++) rowsOf(first).set(`${number}`, { n: number })
  await first.shutdown()
  const path = join(folder, 'rows.snapshot')
  await t.throwsAsync(start(t, folder, { size: 49 }), { code: 'ERR_SLUICE_TABLE_FULL', message: /has 50 rows, the table takes 49/ })
  truncateSync(path, statSync(path).size - 1)
  await t.throwsAsync(start(t, folder), { code: 'ERR_SLUICE_TABLE_FILE', message: /rows\.snapshot is cut off or damaged/ })
  writeFileSync(path, 'my notes')
  await t.throwsAsync(start(t, folder), { code: 'ERR_SLUICE_TABLE_FILE', message: /is not a snapshot/ })
  t.is(readFileSync(path, 'utf8'), 'my notes')
})

test('a snapshot that cannot be written is an error event, and is tried again', async (t) => {
  const folder = place(t)
  const blocked = join(folder, 'rows.snapshot.new')
  mkdirSync(blocked)
  const failing = await start(t, folder, { persistEvery: 10 })
  const failed = new Promise<[unknown, { phase: string }]>((resolve) => failing.on('error', (error, source) => void resolve([error, source])))
  rowsOf(failing).set('ada', { n: 1 })
  const [error, { phase }] = await failed
  t.like(error as Error, { code: 'ERR_SLUICE_TABLE_FILE' })
  t.regex((error as Error).message, /^The rows of table "rows" could not be saved: Cannot write .*rows\.snapshot/)
  t.is(phase, 'tables')
  rmSync(blocked, { recursive: true })
  await failing.shutdown()
  const second = await start(t, folder)
  t.is(rowsOf(second).get('ada', 'n'), 1)
})

/** A server in a process of its own, that says what it has. */
const program = (folder: string): string => `
import { serve, t } from ${JSON.stringify(sluice)}
const server = await serve({ port: 0, host: '127.0.0.1', stateDir: ${JSON.stringify(join(folder, 'state'))}, fetch: () => new Response(''),
  tables: { rows: { size: 100, columns: { n: t.int(), name: t.string(16) }, persist: ${JSON.stringify(join(folder, 'rows.snapshot'))}, persistEvery: 86_400_000 } } })
console.log(JSON.stringify(Object.fromEntries(server.tables.rows)))
server.tables.rows.incr('starts', 'n')
console.log('written')`

test('a server that is killed loses nothing, though no snapshot was due', async (t) => {
  const folder = place(t)
  const run = async (): Promise<{ rows: unknown; kill: () => Promise<unknown> }> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program(folder)], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    let said = ''
    for await (const chunk of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      said += chunk
      if (said.includes('written')) break
    }
    const gone = once(child, 'exit')
    return { rows: JSON.parse(said.split('\n')[0]!), kill: () => (child.kill('SIGKILL'), gone) }
  }
  for (let starts = 0; starts < 3; starts++) {
    const { rows, kill } = await run()
    t.deepEqual(rows, starts === 0 ? {} : { starts: { n: starts, name: '' } })
    await kill()
  }
})

test('another program attaches a table, reads and writes it, and hears of changes', async (t) => {
  const folder = place(t)
  const first = await start(t, folder)
  rowsOf(first).set('ada', { n: 1, name: 'Ada' })
  const script = `
import { attachTable } from ${JSON.stringify(sluice)}
const rows = await attachTable('rows', { stateDir: ${JSON.stringify(join(folder, 'state'))} })
console.log(JSON.stringify([rows.name, rows.capacity, rows.get('ada')]))
rows.set('bob', { n: 2, name: 'Bob' })`
  const events = rowsOf(first).watch()
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) said += chunk
  t.deepEqual(JSON.parse(said), ['rows', 100, { n: 1, name: 'Ada' }])
  t.deepEqual((await events.next()).value, { type: 'set', key: 'bob' })
  await events.return?.()
  t.is(rowsOf(first).get('bob', 'n'), 2)
})

test('attachTable() says what is not there, and what is otherwise', async (t) => {
  const folder = place(t)
  await start(t, folder)
  const stateDir = join(folder, 'state')
  await t.throwsAsync(attachTable('others', { stateDir }), { code: 'ERR_SLUICE_TABLE_FILE', message: /no table "others" .* There are: rows/ })
  await t.throwsAsync(attachTable('rows', { stateDir: join(folder, 'nowhere') }), { code: 'ERR_SLUICE_TABLE_FILE' })
  await t.throwsAsync(attachTable('rows', { stateDir, columns: { n: column.float() } }), { code: 'ERR_SLUICE_TABLE_MISMATCH', message: /has the columns n: int, name: string\(16\), not n: float/ })
  const big = await attachTable('rows', { stateDir, columns: { n: column.bigint(), name: column.string(16) } })
  big.set('big', { n: 2n ** 60n })
  t.is(big.get('big', 'n'), 2n ** 60n)
  writeFileSync(join(folder, 'foreign.table'), 'x'.repeat(10_000))
  await t.throwsAsync(attachTable(join(folder, 'foreign.table')), { code: 'ERR_SLUICE_TABLE_FILE', message: /foreign\.table/ })
  await t.throwsAsync(attachTable(''), { code: 'ERR_SLUICE_INVALID_ARG' })
})
