/** The programs in the pages about what threads share do what the pages say. */
import test from 'ava'
import { Workplace } from '../cli/command.ts'
import { ask, startServer } from '../support/server.ts'
import { example } from './page.ts'

test('locks.md: one report at a time, and the others get their turn', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': example('locks.md', 'app.js') })
  const server = await startServer(t, { app: place.file('app.js'), workers: 2 })
  const answers = await Promise.all([ask(server, '/report'), ask(server, '/report'), ask(server, '/report'), ask(server, '/report')])
  const statuses = answers.map(({ status }) => status)
  t.true(statuses.includes(200) && statuses.every((status) => status === 200 || status === 409))
  const first = (JSON.parse(answers.find(({ status }) => status === 200)!.text) as { fence: number }).fence
  t.is((await ask(server, '/')).text, 'It was my turn')
  const second = (JSON.parse((await ask(server, '/report')).text) as { fence: number }).fence
  t.true(second > first)
})

test('atomics.md: requests wait while it is closed, and are counted over all workers', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': example('atomics.md', 'app.js') })
  const server = await startServer(t, { app: place.file('app.js'), workers: 2 })
  t.is((await ask(server, '/')).text, 'Request 1')
  t.is((await ask(server, '/close')).text, 'true')
  t.is((await ask(server, '/close')).text, 'false')
  const waits = [ask(server, '/'), ask(server, '/')]
  while (server.stats().perWorker.reduce((sum, { concurrency }) => sum + concurrency, 0) < 2) await new Promise(setImmediate)
  const { woken } = JSON.parse((await ask(server, '/open')).text) as { woken: number }
  t.true(woken <= 2)
  t.deepEqual((await Promise.all(waits)).map(({ text }) => text).sort(), ['Request 2', 'Request 3'])
})

test('cache.md: a page is loaded once, whoever asks, and again when it was deleted', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': example('cache.md', 'app.js') })
  const server = await startServer(t, { app: place.file('app.js'), workers: 2 })
  const page = '{"title":"The page /a","loads":1}'
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(server, '/a')))
  t.deepEqual(answers.map(({ text }) => text), Array.from({ length: 8 }, () => page))
  t.is((await ask(server, '/a', 'DELETE')).text, 'true')
  t.is((await ask(server, '/a', 'DELETE')).text, 'false')
  t.regex((await ask(server, '/a')).text, /^\{"title":"The page \/a","loads":[12]\}$/)
})

test('rate-limit.md: the fourth request of a minute is refused, in whichever worker', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': example('rate-limit.md', 'app.js') })
  const server = await startServer(t, { app: place.file('app.js'), workers: 2 })
  const remaining: (string | undefined)[] = []
  for (let n = 0; n < 3; n += 1) remaining.push((await ask(server, '/')).headers.get('x-remaining') ?? undefined)
  t.deepEqual(remaining, ['2', '1', '0'])
  const { status, headers } = await ask(server, '/')
  t.is(status, 429)
  t.true(Number(headers.get('retry-after')) <= 20 && Number(headers.get('retry-after')) > 10)
})
