import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Workplace } from '../cli/command.ts'
import { ChatPage } from './chat-page.ts'
import { launchChromium } from './chromium.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const example = join(root, 'examples/live-chat')
const screenshot = join(root, 'docs/images/live-chat.png')

/** How many messages of everybody in the room make "it goes on". */
const SOME = 15

test('three pages chat through a reload and the death of every worker that serves them, and see nothing but the new code', async (t) => {
  t.timeout(60_000)
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', ...files() })
  const browser = await launchChromium()
  t.teardown(() => browser.close())
  const server = await place.serve(['--workers', '2'], { CHAT_CRASH: '1' })

  const [ada, grace, linus] = await Promise.all([
    ChatPage.open(browser, server.url, 'Ada', 'lobby'),
    ChatPage.open(browser, server.url, 'Grace', 'lobby'),
    ChatPage.open(browser, server.url, 'Linus', 'terrace'),
  ])
  const pages = [ada, grace, linus]
  const roommates = (page: ChatPage) => pages.filter(({ room }) => room === page.room)
  const everybodyHears = (count: number) => Promise.all(pages.map((page) => page.hearsMore(count, roommates(page).map(({ name }) => name))))
  const everybodySees = (version: string) => Promise.all(pages.map(({ page }) => page.locator('#version', { hasText: version }).waitFor()))

  await everybodySees('v1')
  await converse(ada, grace)
  await grace.page.locator('#online li').nth(1).waitFor()
  await ada.page.getByText('Grace is typing').waitFor()
  await ada.until('a score', () => ada.scores.length > 0)
  if (process.env['UPDATE_SCREENSHOT']) await ada.page.screenshot({ path: screenshot })
  const before = await Promise.all(pages.map((page) => page.shown()))

  const quiet = new AbortController()
  t.teardown(() => quiet.abort())
  const talk = Promise.all(pages.map((page) => page.chatter(quiet.signal)))
  // It is awaited below; until then, a page that fails must not end the process before the test has said why.
  talk.catch(() => undefined)
  await everybodyHears(SOME)

  ada.crash('exit')
  await server.said(/Worker \d ended: exit/)
  await everybodyHears(SOME)

  place.write('app.js', readFileSync(place.file('app.js'), 'utf8').replace("{ version: 'v1', hue: 200 }", "{ version: 'v2', hue: 320 }"))
  const reload = await place.run(['reload'])
  t.is(reload.code, 0, reload.stdout + reload.stderr)
  await everybodySees('v2')
  await everybodyHears(SOME)

  grace.crash('loop')
  await server.said(/Worker \d ended: stuck/)
  await everybodyHears(SOME)
  linus.crash('throw')
  await server.said(/Worker \d ended: throw/)
  await everybodyHears(SOME)

  quiet.abort()
  await talk
  for (const page of pages) {
    for (const mate of roommates(page)) await page.until(`the last message of ${mate.name}`, () => page.from(mate.name).includes(mate.sent.at(-1) ?? ''))
  }

  for (const [i, page] of pages.entries()) {
    const { name } = page
    t.deepEqual({ sockets: page.sockets, closed: page.socketsClosed, streams: page.streams, ended: page.streamsEnded }, { sockets: 1, closed: 0, streams: 1, ended: 0 }, name)
    t.deepEqual(page.complaints, [], name)

    for (const mate of roommates(page)) t.deepEqual(page.from(mate.name), mate.sent, `${mate.name} at ${name}'s page: lost, doubled or reordered`)
    t.deepEqual([...new Set(page.said.map((message) => message.name))].sort(), roommates(page).map((mate) => mate.name), `${name} hears this room and no other`)
    for (const mate of roommates(page)) {
      const versions = page.said.filter((message) => message.name === mate.name).map(({ version }) => version)
      t.deepEqual(versions, [...versions].sort(), `${mate.name} at ${name}'s page: old code after the new`)
    }

    // The retained one, which greets, has no id of its own.
    const live = page.scores.slice(page.scores[0]?.id === '' ? 1 : 0)
    const numbers = live.map(({ id }) => Number(/^\w+-(\d+)$/.exec(id)?.[1]))
    t.true(numbers.length > 5)
    t.deepEqual(numbers, numbers.map((_, n) => (numbers[0] ?? Number.NaN) + n), `${name}: ids of the score`)
    const seconds = page.scores.map(({ second }) => second)
    t.deepEqual(seconds, [...new Set(seconds)].sort((a, b) => a - b), `${name}: each second once, in order`)

    const shown = await page.shown()
    t.deepEqual(shown.connection, before[i]?.connection, `${name}: the indicator`)
    t.deepEqual(shown.online, roommates(page).map((mate) => mate.name), `${name}: who is online`)
    t.deepEqual(shown.ids, page.said.slice(-shown.ids.length).map(({ id }) => id), `${name}: what the page shows`)
  }

  server.kill('SIGTERM')
  t.is((await server.ended).code, 0)
})

/** What the screenshot in the README shows, and the first messages of the test. */
async function converse(ada: ChatPage, grace: ChatPage): Promise<void> {
  for (const [page, text] of [
    [ada, 'Evening! Are you deploying during the match again?'],
    [grace, 'In the middle of it. And I am going to kill a worker.'],
    [ada, 'With all of us connected?'],
    [grace, 'You will not see a thing.'],
  ] as const) {
    await page.say(text)
    await Promise.all([ada, grace].map((each) => each.until(text, () => each.said.some((message) => message.text === text))))
  }
  await grace.page.getByLabel('Message', { exact: true }).fill('See')
}

/** The example as a user has it, by the names in its folder. */
function files(): Record<string, string> {
  const names = readdirSync(example, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(example.length + 1))
    .filter((name) => !name.startsWith('.'))
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(example, name), 'utf8')]))
}
