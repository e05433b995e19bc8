import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { WebSocketClient } from 'sluice'
import { root, startConfig } from './example.ts'

const config = 'examples/live-chat/sluice.config.js'

/** How long a wait may last, in milliseconds; far beyond what it takes. */
const WAIT_MS = 20_000

interface Received {
  readonly type: string
  readonly room?: string
  readonly id?: string
  readonly name?: string
  readonly text?: string
  readonly names?: readonly string[]
  readonly messages?: readonly Received[]
  readonly connection?: number
}

// One server for the tests where nothing dies; each of them has a room for itself, or looks only at its own people.
let url = ''
const ends: (() => unknown)[] = []
test.before(async () => {
  ;({ url } = await startConfig({ teardown: (end) => ends.push(end) }, config, { CHAT_CRASH: '' }))
})
test.after.always(() => ends.forEach((end) => end()))

test('the page and what it needs are there, under a policy that allows nothing from elsewhere', async (t) => {
  const page = await fetch(`${url}/`)
  t.is(page.headers.get('content-type'), 'text/html;charset=UTF-8')
  t.regex(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; script-src 'self'; style-src 'self';/)
  const html = await page.text()
  t.notRegex(html, /<script>|<style>|style="|https?:/)
  const links = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, link = '']) => link)
  t.true(links.length >= 3)
  for (const link of links) t.is((await fetch(url + link)).status, 200, link)
  t.is((await fetch(`${url}/app.js`)).status, 404)
  t.is((await fetch(url, { method: 'POST' })).status, 405)
})

test('who has no name, or a room that there is not, is refused', async (t) => {
  for (const query of ['', 'name=Ada', 'name=Ada&room=kitchen', 'name=%20&room=lobby', `name=${'x'.repeat(25)}&room=lobby`]) {
    await t.throwsAsync(Guest.connect(t, url, query), { message: /400/ }, query)
  }
})

test('what is said in a room comes back to everybody there once, and to nobody else', async (t) => {
  const ada = await Guest.join(t, url, 'Ada', 'terrace')
  const bert = await Guest.join(t, url, 'Bert', 'terrace')
  const carl = await Guest.join(t, url, 'Carl', 'pressbox')
  for (const id of ['a-1', 'a-2', 'a-3']) ada.send({ type: 'say', id, text: `this is ${id}` })
  for (const guest of [ada, bert]) {
    await guest.next((frame) => frame.id === 'a-3')
    t.deepEqual(guest.frames.filter(({ type, name }) => type === 'said' && name === 'Ada').map(({ id }) => id), ['a-1', 'a-2', 'a-3'])
  }
  carl.send({ type: 'say', id: 'c-1', text: 'alone' })
  await carl.next((frame) => frame.id === 'c-1')
  t.false(carl.frames.some(({ name, type }) => type === 'said' && name === 'Ada'))
})

test('who is typing is told to the others only', async (t) => {
  const dora = await Guest.join(t, url, 'Dora', 'lobby')
  const emil = await Guest.join(t, url, 'Emil', 'lobby')
  dora.send({ type: 'typing' })
  await emil.next((frame) => frame.type === 'typing' && frame.name === 'Dora')
  dora.send({ type: 'say', id: 'd-1', text: 'done' })
  await dora.next((frame) => frame.id === 'd-1')
  t.false(dora.frames.some(({ type, name }) => type === 'typing' && name === 'Dora'))
})

test('who enters another room hears that one, and is online there and not here', async (t) => {
  const fay = await Guest.join(t, url, 'Fay', 'lobby')
  const gus = await Guest.join(t, url, 'Gus', 'lobby')
  await gus.next(({ type, names }) => type === 'online' && names?.includes('Fay') === true)
  fay.send({ type: 'enter', name: 'Fay', room: 'pressbox' })
  await fay.next(({ type, room, names }) => type === 'online' && room === 'pressbox' && names?.includes('Fay') === true)
  await gus.next(({ type, names }) => type === 'online' && names?.includes('Fay') === false && names.includes('Gus'))
  t.pass()
})

test('who leaves is no longer online', async (t) => {
  const hans = await Guest.join(t, url, 'Hans', 'lobby')
  const ida = await Guest.join(t, url, 'Ida', 'lobby')
  await ida.next(({ type, names }) => type === 'online' && names?.includes('Hans') === true)
  hans.leave()
  await ida.next(({ type, names }) => type === 'online' && names?.includes('Hans') === false)
  t.pass()
})

for (const nonsense of ['', '5', 'null', '{"type":"say"}', '{"type":"say","id":1,"text":"x"}', '{"type":"say","id":"n-1","text":" "}', `{"type":"say","id":"n-1","text":"${'x'.repeat(501)}"}`, '{"type":"enter","room":"kitchen","name":"Nina"}']) {
  test(`a page that sends ${JSON.stringify(nonsense).slice(0, 60)} is closed with 1008, and nobody hears of it`, async (t) => {
    const guest = await Guest.join(t, url, 'Nina', 'lobby')
    guest.raw(nonsense)
    t.is(await guest.closed, 1008)
    t.false(guest.frames.some(({ type, name }) => type === 'said' && name === 'Nina'))
  })
}

test('the score comes as events, at once and then every second, each second once', async (t) => {
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const response = await fetch(`${url}/scores`, { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(WAIT_MS)]) })
  t.is(response.headers.get('content-type'), 'text/event-stream')
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (text.split('\ndata: ').length > 4) break
  }
  const seconds = [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, json = '']) => (JSON.parse(json) as { second: number }).second)
  t.deepEqual(seconds, [...new Set(seconds)].sort((a, b) => a - b))
})

test('crashing is off unless CHAT_CRASH=1: it is a message like any other', async (t) => {
  const guest = await Guest.join(t, url, 'Olga', 'lobby')
  guest.send({ type: 'say', id: 'o-1', text: '/crash exit' })
  t.is((await guest.next((frame) => frame.id === 'o-1')).text, '/crash exit')
})

const survives = test.macro({
  title: (_, how: string) => `after /crash ${how} the same connections go on, nobody is lost, and who comes later reads what was said before`,
  async exec(t: ExecutionContext, how: string) {
    const { command, url } = await startConfig(t, config, { CHAT_CRASH: '1' })
    const ada = await Guest.join(t, url, 'Ada', 'lobby')
    const bert = await Guest.join(t, url, 'Bert', 'lobby')
    ada.send({ type: 'say', id: 'a-1', text: 'before' })
    ada.send({ type: 'say', id: 'a-2', text: `/crash ${how}` })
    ada.send({ type: 'say', id: 'a-3', text: 'after' })
    for (const guest of [ada, bert]) await guest.next((frame) => frame.id === 'a-3')
    // Perhaps before the worker died; this one waits for it, and a worker that hangs is noticed by what waits.
    ada.send({ type: 'say', id: 'a-4', text: 'and after that' })
    for (const guest of [ada, bert]) await guest.next((frame) => frame.id === 'a-4')
    // A worker that hangs is noticed when something waits for it, and both messages may have been before.
    const poke = setInterval(() => ada.send({ type: 'typing' }), 100)
    await command.said(/Worker \d ended/).finally(() => clearInterval(poke))
    for (const guest of [ada, bert]) t.deepEqual(guest.frames.filter(({ type }) => type === 'said').map(({ id }) => id), ['a-1', 'a-3', 'a-4'])

    const carl = await Guest.join(t, url, 'Carl', 'lobby')
    t.deepEqual((await carl.next(({ type }) => type === 'history')).messages?.map(({ id }) => id), ['a-1', 'a-3', 'a-4'])
    await carl.next(({ type, names }) => type === 'online' && names?.join() === 'Ada,Bert,Carl')
    t.is(new Set(ada.frames.filter(({ type }) => type === 'welcome').map(({ connection }) => connection)).size, 1)
  },
})

for (const how of ['throw', 'exit', 'oom', 'loop']) test.serial(survives, how)

test('the history keeps to its bound, and to the last messages of each room', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-history-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { History } = (await import(join(root, 'examples/live-chat/history.js'))) as { History: new (folder: string) => { append(message: object): void; last(room: string): Received[] } }
  // Two of them, as two workers have.
  const histories = [new History(folder), new History(folder)]
  const text = 'x'.repeat(500)
  const at = Date.now()
  for (let i = 0; i < 4000; i++) histories[i % 2]?.append({ id: `m-${i}`, room: i % 4 === 0 ? 'lobby' : 'terrace', text, at })
  const lobby = histories[0]?.last('lobby').map(({ id }) => id)
  t.deepEqual(lobby, Array.from({ length: 50 }, (_, i) => `m-${(950 + i) * 4}`))
  t.deepEqual(histories[1]?.last('lobby').map(({ id }) => id), lobby)
  const files = readdirSync(folder).map((name) => join(folder, name))
  t.true(files.reduce((bytes, path) => bytes + statSync(path).size, 0) <= 520 * 1024)

  histories[0]?.append({ id: 'old', room: 'pressbox', text, at: at - 11 * 60_000 })
  t.deepEqual(histories[0]?.last('pressbox'), [])
})

test('its README shows what is there', (t) => {
  const readme = readFileSync(join(root, 'examples/live-chat/README.md'), 'utf8')
  const files = readdirSync(join(root, 'examples/live-chat')).filter((name) => !name.startsWith('.') && name !== 'README.md')
  for (const name of files) t.true(readme.includes(`\`${name}\``) || readme.includes(`\`${name}/\``), name)
})

/** Somebody in the chat, without a page. */
class Guest {
  readonly frames: Received[] = []
  readonly closed: Promise<number>
  readonly #socket: WebSocketClient
  readonly #waiting = new Set<() => void>()

  private constructor(socket: WebSocketClient) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      this.frames.push(JSON.parse(String(data)) as Received)
      for (const look of this.#waiting) look()
    })
    this.closed = new Promise((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)))
  }

  static async connect(t: ExecutionContext, url: string, query: string): Promise<Guest> {
    const socket = new WebSocketClient(`${url.replace('http', 'ws')}/chat?${query}`)
    t.teardown(() => socket.terminate())
    const guest = new Guest(socket)
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve())
      socket.addEventListener('error', (event) => reject(new Error(event.message)))
    })
    return guest
  }

  /** Is there when the room's history has come. */
  static async join(t: ExecutionContext, url: string, name: string, room: string): Promise<Guest> {
    const guest = await Guest.connect(t, url, String(new URLSearchParams({ name, room })))
    await guest.next(({ type }) => type === 'history')
    return guest
  }

  send(frame: object): void {
    this.raw(JSON.stringify(frame))
  }

  raw(text: string): void {
    this.#socket.send(text)
  }

  leave(): void {
    this.#socket.close(1000)
  }

  /** The first frame that fits, of those that came and those to come. */
  async next(fits: (frame: Received) => boolean): Promise<Received> {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms; what came: ${JSON.stringify(this.frames.slice(-20))}`)), WAIT_MS)
      const look = () => {
        const found = this.frames.find(fits)
        if (!found) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }
}
