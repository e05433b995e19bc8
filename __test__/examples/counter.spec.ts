import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { removeState } from '../support/state-dir.ts'
import { root, startConfig } from './example.ts'

interface Count {
  readonly path: string
  readonly views: number
  readonly requests: number
  readonly worker: number
  readonly mine: number
}

/** A copy of the example, for it writes beside itself. */
function copy(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-counter-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(root, 'examples/counter'), folder, { recursive: true })
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/sluice'))
  return folder
}

const see = async (url: string, path: string): Promise<Count> => (await (await fetch(url + path)).json()) as Count

test('views and requests are counted over all workers, and the busiest pages come first', async (t) => {
  const { url } = await startConfig(t, join(copy(t), 'sluice.config.js'))
  const counts = await Promise.all(Array.from({ length: 40 }, (_, index) => see(url, index % 4 === 0 ? '/rare' : '/news')))
  t.deepEqual(counts.map(({ requests }) => requests).sort((a, b) => a - b), Array.from({ length: 40 }, (_, index) => index + 1))
  t.is(Math.max(...counts.filter(({ path }) => path === '/news').map(({ views }) => views)), 30)
  const top = (await (await fetch(`${url}/top`)).json()) as readonly { path: string; views: number }[]
  t.deepEqual(top.map(({ path, views }) => [path, views]), [['/news', 30], ['/rare', 10]])
  t.is((await fetch(`${url}/clear`, { method: 'POST' })).status, 204)
  t.is((await see(url, '/news')).views, 1)
  t.is((await fetch(url, { method: 'PUT' })).status, 405)
})

test('a reload changes no count', async (t) => {
  const { url, command } = await startConfig(t, join(copy(t), 'sluice.config.js'))
  t.is((await see(url, '/news')).views, 1)
  command.kill('SIGUSR1')
  await command.said(/Reloaded in/)
  t.like(await see(url, '/news'), { views: 2, requests: 2, mine: 1 })
})

test('the views survive a stop, and a kill -9 of the server', async (t) => {
  const config = join(copy(t), 'sluice.config.js')
  const state = mkdtempSync(join(tmpdir(), 'sluice-state-'))
  t.teardown(() => removeState(state))
  const env = { SLUICE_STATE_DIR: state }
  const first = await startConfig(t, config, env)
  t.is((await see(first.url, '/news')).views, 1)
  first.command.kill('SIGTERM')
  await first.command.ended
  t.true(existsSync(join(config, '../data/pages')))
  const second = await startConfig(t, config, env)
  t.is((await see(second.url, '/news')).views, 2)
  second.command.kill('SIGKILL')
  await second.command.ended
  const third = await startConfig(t, config, env)
  t.like(await see(third.url, '/news'), { views: 3, requests: 1 })
})
