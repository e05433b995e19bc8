/** The program in the page about timers does what the page says. */
import { readFileSync } from 'node:fs'
import test from 'ava'

import { Workplace } from './cli/command.ts'
import { ask, startServer } from './support/server.ts'

const page = readFileSync(new URL('../docs/reference/timers.md', import.meta.url), 'utf8')

test('timers.md: the app sets one timer however many workers it has, and reminds', async (t) => {
  const [source = ''] = [...page.matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code = '']) => code)
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': source })
  const server = await startServer(t, { app: place.file('app.js'), workers: 2 })
  t.deepEqual(server.timer.list(), ['hourly report'])
  t.is((await ask(server, '/remind?user=ada')).text, '{"isNew":true}')
  while (server.timer.list().length > 1) await new Promise(setImmediate)
  t.deepEqual(server.timer.list(), ['hourly report'])
  // It is counted in one of the workers, and which of them answers is nobody's to say: of requests at once each has some.
  for (let found = false; !found; ) {
    const answers = await Promise.all(Array.from({ length: 8 }, async () => JSON.parse((await ask(server, '/')).text) as { timers: string[]; counts: object }))
    t.true(answers.every(({ timers }) => timers.length === 1))
    found = answers.some(({ counts }) => 'reminder' in counts)
  }
})

test('timers.md lists every call', (t) => {
  const shown = [...page.matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name)
  t.deepEqual(shown.sort(), ['after', 'clear', 'clearAll', 'every', 'has', 'info', 'list'])
})
