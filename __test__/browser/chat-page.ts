import type { Browser, Page } from 'playwright-core'

/** How long a wait for something in a page may last, in milliseconds; far beyond what it takes. */
const WAIT_MS = 20_000
/** Own messages that may be on their way before the next is sent. */
const AHEAD_MAX = 10

/** A message as the server sent it to the page. */
export interface Said {
  readonly id: string
  readonly room: string
  readonly name: string
  readonly text: string
  readonly version: string
}

/** An event of the score, as it came on the wire. */
export interface ScoreEvent {
  readonly id: string
  readonly second: number
}

/**
 * A page of examples/live-chat with somebody in front of it. What it says of its connections is what Chromium saw of them,
 * not what the page's own code thinks.
 */
export class ChatPage {
  readonly name: string
  readonly room: string
  readonly page: Page
  /** Every message that came, in order, also those that the page would not show twice. */
  readonly said: Said[] = []
  readonly scores: ScoreEvent[] = []
  /** Anything that the page wrote to its console or threw. */
  readonly complaints: string[] = []
  /** The texts that were sent and are to arrive, in order. */
  readonly sent: string[] = []
  sockets = 0
  socketsClosed = 0
  streams = 0
  streamsEnded = 0
  readonly #commands: string[] = []
  readonly #waiting = new Set<() => void>()
  readonly #streamRequests = new Set<string>()

  private constructor(page: Page, name: string, room: string) {
    this.page = page
    this.name = name
    this.room = room
  }

  /** Opens the page of a room in a window of its own, and joins. */
  static async open(browser: Browser, url: string, name: string, room: string): Promise<ChatPage> {
    const context = await browser.newContext({ viewport: { width: 960, height: 600 }, locale: 'en-GB', colorScheme: 'light', reducedMotion: 'reduce' })
    context.setDefaultTimeout(WAIT_MS)
    const opened = new ChatPage(await context.newPage(), name, room)
    await opened.#watch()
    const { page } = opened
    await page.goto(`${url}/#${room}`)
    await page.getByLabel('Name').fill(name)
    await page.keyboard.press('Enter')
    await page.locator('#connection[data-state=open]').waitFor()
    return opened
  }

  /** Writes and sends a message as a person does. */
  async say(text: string): Promise<void> {
    this.sent.push(text)
    await this.#enter(text)
  }

  /** The next thing that {@link chatter} sends; it does not arrive anywhere, because the worker dies of it. */
  crash(how: 'throw' | 'exit' | 'loop' | 'oom'): void {
    this.#commands.push(`/crash ${how}`)
  }

  /** Sends one message after the other until `signal` aborts. It runs ahead of what came back by a few, and so also when nothing comes. */
  async chatter(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const command = this.#commands.shift()
      if (command === undefined) await this.say(`${this.name} ${this.sent.length + 1}`)
      else await this.#enter(command)
      await this.until('own messages to come back', () => this.from(this.name).length > this.sent.length - AHEAD_MAX)
    }
  }

  /** The texts that came from somebody. */
  from(name: string): string[] {
    return this.said.filter((message) => message.name === name).map(({ text }) => text)
  }

  /** Waits for `count` more messages of each of these people. */
  async hearsMore(count: number, names: readonly string[]): Promise<void> {
    const before = names.map((name) => this.from(name).length)
    await this.until(`${count} more messages of ${names.join(' and ')}`, () => names.every((name, i) => this.from(name).length >= (before[i] ?? 0) + count))
  }

  /** Waits for something to be true of what came; it is looked at again whenever something comes. */
  async until(what: string, isTrue: () => boolean): Promise<void> {
    if (isTrue()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        const { name, said, sent, scores, socketsClosed } = this
        reject(new Error(`${name}'s page waited ${WAIT_MS} ms for ${what}; ${sent.length} sent, ${said.length} came, ${scores.length} scores, ${socketsClosed} sockets closed. ${this.complaints.join('; ')}`))
      }, WAIT_MS)
      const look = () => {
        if (!isTrue()) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
    })
  }

  /** What the page shows. */
  async shown(): Promise<{ version: string; online: string[]; ids: string[]; connection: Record<string, string | undefined> }> {
    return await this.page.evaluate(() => {
      const texts = (selector: string) => [...document.querySelectorAll(selector)].map((element) => element.textContent ?? '')
      return {
        version: texts('#version').join(''),
        online: texts('#online li'),
        ids: [...document.querySelectorAll<HTMLElement>('#messages li')].map(({ dataset }) => dataset['id'] ?? ''),
        connection: { ...document.querySelector<HTMLElement>('#connection')?.dataset, text: texts('#connection span').join('') },
      }
    })
  }

  async #enter(text: string): Promise<void> {
    const input = this.page.getByLabel('Message', { exact: true })
    await input.fill(text)
    await input.press('Enter')
  }

  async #watch(): Promise<void> {
    const { page } = this
    page.on('console', (message) => this.complaints.push(message.text()))
    page.on('pageerror', (error) => this.complaints.push(String(error)))
    page.on('websocket', (socket) => {
      this.sockets++
      socket.on('close', () => this.#note(() => this.socketsClosed++))
      socket.on('framereceived', ({ payload }) => {
        const frame = JSON.parse(String(payload)) as { type: string } & Said
        if (frame.type === 'said') this.#note(() => this.said.push(frame))
      })
    })
    const devtools = await page.context().newCDPSession(page)
    await devtools.send('Network.enable')
    devtools.on('Network.requestWillBeSent', ({ requestId, request }) => {
      if (!request.url.endsWith('/scores')) return
      this.streams++
      this.#streamRequests.add(requestId)
    })
    devtools.on('Network.eventSourceMessageReceived', ({ eventId, data }) => {
      const { second } = JSON.parse(data) as { second: number }
      this.#note(() => this.scores.push({ id: eventId, second }))
    })
    const ended = ({ requestId }: { requestId: string }) => {
      if (this.#streamRequests.has(requestId)) this.#note(() => this.streamsEnded++)
    }
    devtools.on('Network.loadingFinished', ended)
    devtools.on('Network.loadingFailed', ended)
  }

  #note(change: () => void): void {
    change()
    for (const look of this.#waiting) look()
  }
}
