/** The program in the page about custom processes does what the page says, and its tables are complete. */
import { readFileSync } from 'node:fs'
import test from 'ava'

import { get, Workplace } from './cli/command.ts'
import { isAlive } from '../src-ts/process/pid-file.ts'

const page = readFileSync(new URL('../docs/reference/processes.md', import.meta.url), 'utf8')
const files = Object.fromEntries([...page.matchAll(/^```js file=(\S+)\n([^]*?)^```$/gm)].map(([, name = '', source = '']) => [name, source]))

test('processes.md: a thread, a process of its own and a command', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', ...files })
  const server = await place.serve()
  const json = async (path: string): Promise<unknown> => JSON.parse(await get(`${server.url}${path}`))
  t.is(await json('/rate?text=EUR'), 1)
  t.is(await get(`${server.url}/set?text=USD&rate=1.17`), 'set')
  while ((await json('/rate?text=USD')) !== 1.17);
  t.true(await json('/report?text=weekly'))
  const infos = (await json('/')) as { name: string; kind: string; pid: number; status: string }[]
  t.deepEqual(infos.map(({ name, kind }) => [name, kind]), [['rates', 'thread'], ['report', 'process'], ['upper', 'command']])
  t.is(await get(`${server.url}/upper?text=hello`), 'HELLO\n')
  t.regex((await place.run(['status'])).stdout, /process {2}kind[^]*rates +thread +running[^]*report +process +running +\d+ +0[^]*upper +command +running/)
  t.is((await place.run(['reload', '--only', 'processes'])).code, 0)
  await server.said(/new code comes[^]*rates: reload|rates: reload[^]*new code comes/)
  t.is(await json('/rate?text=USD'), null, 'a new process has a new memory')
  t.is((await place.run(['stop'])).code, 0)
  const { stdout } = await server.ended
  t.regex(stdout, /rates: stop/)
  for (const { pid } of infos) t.false(isAlive(pid))
})
