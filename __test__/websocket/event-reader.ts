/** Reads server-sent events as the standard has it (WHATWG HTML 9.2.6); every wait has a limit and says what it waited for. */
import { get, type IncomingMessage } from 'node:http'
import type { ExecutionContext } from 'ava'

import { inTime } from './live-client.ts'

/** An event as `EventSource` would tell it. */
export interface ReadEvent {
  readonly event: string
  readonly data: string
  /** The last id that was seen, with this event or before. */
  readonly id: string
}

export class EventReader {
  readonly answer: IncomingMessage
  /** Comments as they came, and the last `retry`. */
  readonly comments: string[] = []
  retry: number | undefined
  /** What a client names when it comes back. */
  lastEventId: string
  /** Resolves when the server has ended the stream, `false` when it broke off. */
  readonly ended: Promise<boolean>
  readonly #events: ReadEvent[] = []
  #text = ''
  #type = ''
  #data = ''
  #hasEnded = false
  #tell: () => void = () => undefined

  private constructor(answer: IncomingMessage, lastEventId: string) {
    this.answer = answer
    this.lastEventId = lastEventId
    answer.setEncoding('utf8')
    answer.on('data', (text: string) => {
      this.#read(text)
      this.#tell()
    })
    this.ended = new Promise((resolve) => {
      answer.on('error', () => undefined)
      answer.on('close', () => {
        this.#hasEnded = true
        resolve(answer.complete)
        this.#tell()
      })
    })
  }

  /** Asks for a stream; it is left with its test. */
  static async open(t: ExecutionContext, url: string, { lastEventId = '', method = 'GET' }: { lastEventId?: string; method?: string } = {}): Promise<EventReader> {
    const answer = await inTime(
      'an answer',
      new Promise<IncomingMessage>((resolve, reject) => {
        const request = get(url, { method, agent: false, headers: { accept: 'text/event-stream', ...(lastEventId !== '' && { 'last-event-id': lastEventId }) } }, resolve)
        request.on('error', reject)
        t.teardown(() => request.destroy())
      }),
    )
    return new EventReader(answer, lastEventId)
  }

  /** Leaves. */
  leave(): void {
    this.answer.destroy()
  }

  async next(): Promise<ReadEvent> {
    return (await this.take(1))[0]!
  }

  async take(count: number): Promise<ReadEvent[]> {
    while (this.#events.length < count) {
      if (this.#hasEnded) throw new Error(`The stream ended after ${this.#events.length} of ${count} events`)
      await inTime(`${count} events, got ${this.#events.length}`, new Promise<void>((resolve) => (this.#tell = resolve)))
    }
    return this.#events.splice(0, count)
  }

  /** Waits for a comment. */
  async comment(): Promise<string> {
    while (this.comments.length === 0) await inTime('a comment', new Promise<void>((resolve) => (this.#tell = resolve)))
    return this.comments.shift()!
  }

  /** Events that have come and were not taken. */
  get waiting(): number {
    return this.#events.length
  }

  #read(text: string): void {
    const lines = (this.#text + text).split('\n')
    this.#text = lines.pop()!
    for (const line of lines) this.#line(line)
  }

  #line(line: string): void {
    if (line === '') {
      if (this.#data !== '') this.#events.push({ event: this.#type === '' ? 'message' : this.#type, data: this.#data.slice(0, -1), id: this.lastEventId })
      this.#type = ''
      this.#data = ''
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) {
      this.comments.push(line.slice(1).trim())
      return
    }
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'event') this.#type = value
    else if (name === 'data') this.#data += `${value}\n`
    else if (name === 'id') this.lastEventId = value
    else if (name === 'retry') this.retry = Number(value)
    else throw new Error(`not a field of an event: ${JSON.stringify(line)}`)
  }
}
