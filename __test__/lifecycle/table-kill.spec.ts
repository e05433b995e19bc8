import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { attachTable, defineTable, serve, t as column } from 'sluice'
import { tablesDirectories } from '../../src-ts/table/directory.ts'
import { removeState } from '../support/state-dir.ts'
import { AppFolder, next, startServer } from '../support/server.ts'

/** How long writers are killed, in milliseconds; a machine too busy for `KILLS_MIN` of them in that time takes longer. */
const KILL_FOR = Number(process.env['SLUICE_KILL_MS'] ?? 5_000)
const KILLS_MIN = 10
const sluice = import.meta.resolve('sluice')
const writer = fileURLToPath(new URL('../fixtures/table-writer.mjs', import.meta.url))

const SIZE = 256
const columns = { one: column.int(), two: column.int(), three: column.string(40) }
type Row = { one: number; two: number; three: string }

const text = (value: number): string => String(value % 10).repeat(1 + (value % 40))
const isWhole = ({ one, two, three }: Row): boolean => one === two && three === text(one)

test('writers that are killed at any moment leave no torn row, no row that is stuck, and a count that is right', async (t) => {
  t.timeout(KILL_FOR * 4 + 60_000)
  const stateDir = mkdtempSync(join(tmpdir(), 'sluice-kill-'))
  t.teardown(() => removeState(stateDir))
  const server = await serve({ port: 0, host: '127.0.0.1', stateDir, tables: { rows: { size: SIZE, columns } }, fetch: () => new Response('') })
  t.teardown(() => server.shutdown())
  const table = await attachTable('rows', { stateDir, columns })
  const path = join(tablesDirectories(stateDir)[0]!, 'rows.table')

  const write = async (number: number) => {
    const child = spawn(process.execPath, [writer, path, String(number)], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    return child
  }
  const writers = await Promise.all([write(1), write(2)])
  const begun = performance.now()
  let kills = 0
  let seen = 0
  while (performance.now() - begun < KILL_FOR || kills < KILLS_MIN) {
    // At a moment that the readers below choose by what they find.
    for (let pass = 0; pass <= kills % 5; pass++) {
      for (const [key, row] of table.entries()) {
        seen++
        if (!isWhole(row)) t.fail(`${key} is torn: ${JSON.stringify(row)}`)
      }
    }
    const at = kills++ % 2
    const gone = once(writers[at]!, 'exit')
    writers[at]!.kill('SIGKILL')
    await gone
    writers[at] = await write(at + 1)
  }
  for (const child of writers) {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  t.log(`${kills} kills, ${seen} rows read, ${table.stats().recovered} locks taken over here`)
  t.true(seen > 0)

  // Nothing is stuck: every row can be written, and there are as many as the count says.
  for (const [key, row] of table) {
    t.true(isWhole(row), key)
    table.set(key, { one: 0, two: 0, three: '0' })
  }
  // Rows whose time is over count until they are swept.
  const swept = performance.now() + 20_000
  while ([...table.keys()].length !== table.size && performance.now() < swept) await new Promise((resolve) => setImmediate(resolve))
  t.is([...table.keys()].length, table.size)
  table.clear()
  t.is(table.size, 0)
  for (let number = 0; number < SIZE; number++) t.true(table.add(`new:${number}`, { one: number, two: number, three: text(number) }))
  t.throws(() => table.add('one more', { one: 1 }), { code: 'ERR_SLUICE_TABLE_FULL' })
  t.is([...table].length, SIZE)
})

/** Writes without a pause, and says with its first row that it has begun. */
const endless = (number: number): string => `
import(${JSON.stringify(sluice)}).then(({ defineTable, t }) => {
  const rows = defineTable('kill-spec-threads', { size: ${SIZE}, columns: { one: t.int(), two: t.int(), three: t.string(40) } })
  const text = (value) => String(value % 10).repeat(1 + (value % 40))
  rows.set('begun:${number}', { one: 0, two: 0, three: '0' })
  for (let value = ${number}; ; value += 2) {
    rows.set('both:' + (value % 20), { one: value, two: value, three: text(value) })
    if (value % 3 === 0) rows.delete('both:' + (value % 7))
  }
})`

test('threads that are terminated while they write leave no torn row, and hold nobody up', async (t) => {
  t.timeout(120_000)
  const rows = defineTable('kill-spec-threads', { size: SIZE, columns })
  for (let round = 0; round < 12; round++) {
    const threads = [0, 1].map((which) => new Worker(endless(round * 2 + which), { eval: true }))
    while (!rows.has(`begun:${round * 2}`) || !rows.has(`begun:${round * 2 + 1}`)) await new Promise((resolve) => setImmediate(resolve))
    for (let pass = 0; pass <= round; pass++) {
      for (const [key, row] of rows) if (!isWhole(row)) t.fail(`${key} is torn: ${JSON.stringify(row)}`)
    }
    await Promise.all(threads.map((thread) => thread.terminate()))
  }
  t.is(rows.stats().recovered, 0, 'a thread that is terminated ends between two calls')
  t.is([...rows.keys()].length, rows.size)
  rows.clear()
  for (let number = 0; number < SIZE; number++) rows.set(`new:${number}`, { one: number, two: number, three: text(number) })
  t.throws(() => rows.add('one more', { one: 1 }), { code: 'ERR_SLUICE_TABLE_FULL' })
})

test('workers that are ended while they write leave no torn row', async (t) => {
  t.timeout(120_000)
  const folder = await AppFolder.create(t)
  const spec = `{ size: ${SIZE}, columns: { one: t.int(), two: t.int(), three: t.string(40) } }`
  const app = await folder.write(`
import { setImmediate } from 'node:timers'
import { defineTable, t } from ${JSON.stringify(sluice)}
const rows = defineTable('kill-spec-workers', ${spec})
let value = 0
const write = () => {
  for (let count = 0; count < 2000; count++) {
    value++
    rows.set('row:' + (value % 20), { one: value, two: value, three: String(value % 10).repeat(1 + (value % 40)) })
    if (value % 3 === 0) rows.delete('row:' + (value % 7))
  }
  setImmediate(write)
}
export default {
  fetch(request) {
    const path = new URL(request.url).pathname
    if (path === '/write') write()
    if (path === '/exit') setImmediate(() => process.exit(1))
    return new Response('ok')
  },
}`)
  const server = await startServer(t, { app, workers: 1 })
  const rows = defineTable('kill-spec-workers', { size: SIZE, columns })
  for (let round = 0; round < 5; round++) {
    await (await fetch(`${server.url}/write`)).text()
    while (rows.stats().inserts === 0) await new Promise((resolve) => setImmediate(resolve))
    for (const [key, row] of rows) t.true(isWhole(row), key)
    const serving = next(server, 'workerStart', ({ reason }) => reason === 'crash')
    await fetch(`${server.url}/exit`).catch(() => {})
    await serving
  }
  t.is([...rows.keys()].length, rows.size)
  rows.clear()
  for (let number = 0; number < SIZE; number++) rows.set(`new:${number}`, { one: number, two: number, three: text(number) })
  t.is(rows.size, SIZE)
})
