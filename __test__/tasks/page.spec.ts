/** The programs in the pages about tasks and events do what the pages say. */
import { readFileSync } from 'node:fs'
import test from 'ava'

import { Workplace } from '../cli/command.ts'
import { ask, startServer } from '../support/server.ts'

const read = (name: string): string => readFileSync(new URL(`../../docs/reference/${name}.md`, import.meta.url), 'utf8')
/** The programs of a page, by the names in their first lines. */
const programs = (page: string): Record<string, string> => Object.fromEntries([...page.matchAll(/^```js\n(\/\/ (.*)\n[^]*?)^```$/gm)].map(([, code = '', name = '']) => [name, code]))

const { 'app.js': app = '', 'tasks/send-mail.js': sendMail = '', 'mail-app.js': mailApp = '', 'sluice.config.js': config = '' } = programs(read('tasks'))

test.serial('tasks.md: a task is awaited, and one that nobody awaits is tried until it does well', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': app })
  const server = await startServer(t, { app: place.file('app.js'), workers: 1, tasks: { workers: 2 } })
  t.deepEqual(JSON.parse((await ask(server, '/resize?width=100')).text), { image: 'cat.png', width: 100, worker: 1 })
  t.like(JSON.parse((await ask(server, '/resize?width=5000')).text), { name: 'RangeError', message: '5000 is too wide', task: { name: 'resize', attempts: 1 } })
  t.like(JSON.parse((await ask(server, '/welcome?user=ada')).text), { status: 'delayed' })
  while (server.tasks.list().queues[0]!.done < 2) await new Promise(setImmediate)
  t.is(server.tasks.list().failed.length, 1)
})

test.serial('tasks.md: classes are known from `tasks.files`', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'mail-app.js': mailApp, 'tasks/send-mail.js': sendMail })
  const server = await startServer(t, { app: place.file('mail-app.js'), root: place.file('.'), workers: 1, tasks: { files: 'tasks/*.js' } })
  t.is((await ask(server, '/')).text, 'sent to ada')
})

test.serial('tasks.md: the configuration with queues is one', async (t) => {
  const { parseConfig } = await import('../../src-ts/options.ts')
  const module = (await import(`data:text/javascript,${encodeURIComponent(config)}`)) as { default: object }
  t.deepEqual(parseConfig(module.default).tasks.queues.map(({ name }) => name), ['default', 'mail', 'video'])
})

test.serial('tasks.md: the configuration with durable tasks is one', async (t) => {
  const { parseConfig } = await import('../../src-ts/options.ts')
  const module = (await import(`data:text/javascript,${encodeURIComponent(programs(read('tasks'))['durable.config.js'] ?? '')}`)) as { default: object }
  const { durable } = parseConfig(module.default, '/srv/sluice.config.js').tasks
  t.like(durable, { fsync: 'always' })
  t.is(durable && durable.path, '/srv/storage/tasks.log')
})

test.serial('events.md: listeners run in order, and false stops the rest', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': programs(read('events'))['app.js'] ?? '' })
  const heard: unknown[] = []
  const server = await startServer(t, { app: place.file('app.js'), workers: 1, tasks: {}, lifecycle: { message: (_from, data) => void heard.push(data) } })
  t.is((await ask(server, '/?id=1&total=10')).text, 'thank you')
  t.is((await ask(server, '/?id=2&total=1001')).text, 'thank you')
  while (heard.length < 3) await new Promise(setImmediate)
  t.deepEqual(heard, ['receipt 1', 'ship 1 with receipt 1', 'receipt 2'])
})

test('tasks.md lists every option, and every member of a context', async (t) => {
  const page = read('tasks')
  const { writeOptions } = await import('../../src-ts/tasks/deliver-options.ts')
  const options = [...(page.split('Options, of the')[1] ?? '').split('The handle')[0]!.matchAll(/^\| `(\w+)/gm)].map(([, name = '']) => name)
  t.is(options.length, 13)
  t.deepEqual(options.splice(-2), ['finish', 'failed'])
  for (const name of options) t.notThrows(() => writeOptions(new Float64Array(10), { [name]: undefined }, () => 0), name)
})
