import test, { type ExecutionContext } from 'ava'
import { WebSocketClient } from 'sluice'
import { startConfig } from './example.ts'

interface Person {
  readonly uid: string
  readonly pages: number
  readonly room: string
}

interface Event {
  readonly type: string
  readonly uid?: string
  readonly text?: string
  readonly retryAfter?: number
  readonly online?: readonly Person[]
}

/** An open page of a person. */
class Page {
  readonly events: Event[] = []
  readonly socket: WebSocketClient
  #heard: () => void = () => {}

  private constructor(socket: WebSocketClient) {
    this.socket = socket
  }

  static async open(t: ExecutionContext, url: string, uid: string, room: string): Promise<Page> {
    const socket = new WebSocketClient(`${url.replace('http', 'ws')}/presence?${new URLSearchParams({ uid, room }).toString()}`)
    const page = new Page(socket)
    t.teardown(() => socket.close())
    socket.addEventListener('message', ({ data }) => {
      page.events.push(JSON.parse(String(data)) as Event)
      page.#heard()
    })
    await page.next(({ type }) => type === 'welcome')
    return page
  }

  async next(isMeant: (event: Event) => boolean): Promise<Event> {
    for (;;) {
      const found = this.events.find(isMeant)
      if (found) return found
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.socket.addEventListener('close', resolve))
    this.socket.close()
    await closed
  }
}

const online = async (url: string): Promise<Person[]> => (await (await fetch(`${url}/online`)).json()) as Person[]

/** Asks until it is so: a close reaches the app after the client. */
async function onlineWhen(url: string, isSo: (people: Person[]) => boolean): Promise<Person[]> {
  for (;;) {
    const people = await online(url)
    if (isSo(people)) return people
  }
}

test('a person is online for as long as one page is open, through a reload', async (t) => {
  const { url, command } = await startConfig(t, 'examples/presence/sluice.config.js')
  const pages = await Promise.all([Page.open(t, url, 'ada', 'tea'), Page.open(t, url, 'ada', 'tea'), Page.open(t, url, 'bert', 'coffee')])
  const summary = (people: Person[]): string => people.map(({ uid, pages: open, room }) => `${uid} ${open} ${room}`).sort().join(', ')
  t.is(summary(await online(url)), 'ada 2 tea, bert 1 coffee')
  await pages[0].close()
  t.is(summary(await onlineWhen(url, (people) => people.some(({ uid, pages: open }) => uid === 'ada' && open === 1))), 'ada 1 tea, bert 1 coffee')
  command.kill('SIGUSR1')
  await command.said(/Reloaded in/)
  t.is(summary(await online(url)), 'ada 1 tea, bert 1 coffee')
  await Promise.all([pages[1].close(), pages[2].close()])
  t.deepEqual(await onlineWhen(url, (people) => people.length === 0), [])
})

test('who says too much at once is told when to go on, and the room hears the rest', async (t) => {
  const { url } = await startConfig(t, 'examples/presence/sluice.config.js')
  const [speaker, other, listener] = await Promise.all([Page.open(t, url, 'carl', 'tea'), Page.open(t, url, 'carl', 'tea'), Page.open(t, url, 'dora', 'tea')])
  for (let number = 0; number < 40; number += 1) (number % 2 === 0 ? speaker : other).socket.send(`words ${number}`)
  const { retryAfter } = await Promise.any([speaker, other].map((page) => page.next(({ type }) => type === 'slow-down')))
  t.true(retryAfter !== undefined && retryAfter > 0 && retryAfter <= 200)
  await listener.next(({ type, uid }) => type === 'said' && uid === 'carl')
})

test('the counts are published every second, whoever runs the timer', async (t) => {
  const { url } = await startConfig(t, 'examples/presence/sluice.config.js')
  await Page.open(t, url, 'emil', 'tea')
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const { body } = await fetch(`${url}/counts`, { signal: stop.signal })
  let text = ''
  for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const counts = [...text.matchAll(/^data: ?(.*)$/gm)].map(([, data = '']) => JSON.parse(data) as { people: number; rooms: object })
    if (counts.filter(({ people }) => people === 1).length >= 2) {
      t.deepEqual(counts.at(-1), { people: 1, pages: 1, rooms: { tea: 1 } } as never)
      return
    }
  }
  t.fail('the stream ended')
})

test('who has no name is refused', async (t) => {
  const { url } = await startConfig(t, 'examples/presence/sluice.config.js')
  t.is((await fetch(`${url}/presence?uid=x`, { headers: { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' } }).catch(() => ({ status: 400 }))).status, 400)
  t.is((await fetch(`${url}/`)).status, 200)
  t.is((await fetch(`${url}/online`, { method: 'POST' })).status, 405)
})
