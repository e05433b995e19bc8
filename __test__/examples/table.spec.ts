/** The programs in the page about tables do what the page says. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { Workplace } from '../cli/command.ts'

const page = readFileSync(new URL('../../docs/reference/table.md', import.meta.url), 'utf8')
const files = Object.fromEntries([...page.matchAll(/^```js\n(\/\/ (\S+)\n[^]*?)^```$/gm)].map(([, code = '', name = '']) => [name, code]))
const workplace = (t: ExecutionContext) => new Workplace(t, { 'package.json': '{ "type": "module" }', ...files })

test('app.js: what one worker writes, the other reads, across a reload', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': files['app.js'] ?? '', 'sluice.config.js': 'export default { app: "./app.js", workers: 2, dispatch: "round-robin" }' })
  const { url } = await place.serve(['--workers', '2'])
  const get = async (path: string) => (await (await fetch(url + path)).json()) as { me: object; all: number; worker: number }
  const workers = new Set<number>()
  for (let visits = 1; visits <= 4; visits++) {
    const { me, all, worker } = await get('/a')
    t.deepEqual({ me, all }, { me: { visits, page: '/a', score: 1 }, all: 1 })
    workers.add(worker)
  }
  t.is(workers.size, 2)
  t.is((await place.run(['reload'])).code, 0)
  t.deepEqual((await get('/there')).me, { visits: 5, page: '/there', score: 3 })
})

test('sluice.config.js: the table is there before the app', async (t) => {
  const { url } = await workplace(t).serve()
  t.deepEqual(await (await fetch(`${url}/ada`)).json(), ['/ada'])
  t.deepEqual(((await (await fetch(`${url}/bob`)).json()) as string[]).sort(), ['/ada', '/bob'])
  t.deepEqual(((await (await fetch(`${url}/ada`)).json()) as string[]).sort(), ['/ada', '/bob'])
})

test('calls.js prints what its comments promise, without a server', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['calls.js'], { cwd: workplace(t).path })
  t.is(
    stdout,
    `{ state: 'running', tries: 1, total: 0n } 1 undefined
2 9223372036854775807n -9223372036854775808n
ERR_SLUICE_TABLE_COLUMN Table "jobs" has no column "stat", did you mean "state"?
`,
  )
})

test('watching.js tells of the rows it watches', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['watching.js'], { cwd: workplace(t).path })
  t.is(stdout, 'set room:1\ndelete room:1\n')
})

test('kept.js counts its starts, without a server', async (t) => {
  const place = workplace(t)
  for (const count of [1, 2, 3]) t.is((await promisify(execFile)(process.execPath, ['kept.js'], { cwd: place.path })).stdout, `${count}\n`)
})

test('other.js reads and writes the table of the running server', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': files['app.js'] ?? '', 'other.js': files['other.js'] ?? '', 'sluice.config.js': 'export default { app: "./app.js" }' })
  await place.serve()
  for (const visits of [1, 2]) t.is((await promisify(execFile)(process.execPath, ['other.js'], { cwd: place.path })).stdout, `visitors 10000 ${visits}\n`)
})
