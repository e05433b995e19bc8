/** A client of an event stream: every event in order, with waits that have a limit. */
import type { ExecutionContext } from 'ava'


export interface StreamEvent {
  readonly id: string | undefined
  readonly event: string | undefined
  readonly data: string
}

export class EventClient {
  readonly events: StreamEvent[] = []
  /** How the stream ended; `broken` is an end inside the answer. */
  readonly ended: Promise<'whole' | 'broken'>
  readonly #looks = new Set<() => void>()

  readonly #stop: AbortController

  private constructor(response: Response, stop: AbortController) {
    this.#stop = stop
    this.ended = this.#read(response)
  }

  static async connect(t: ExecutionContext, url: string, lastEventId?: string): Promise<EventClient> {
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    const response = await fetch(url, { signal: stop.signal, headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId } })
    t.is(response.headers.get('content-type'), 'text/event-stream')
    return new EventClient(response, stop)
  }

  /** Breaks the connection. */
  leave(): void {
    this.#stop.abort()
  }

  get data(): string[] {
    return this.events.map(({ data }) => data)
  }

  /** Waits until `count` events have come in all. Rejects after 20 s. */
  count(count: number): Promise<readonly StreamEvent[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#looks.delete(look)
        reject(new Error(`waited 20 s for ${count} events; so far ${this.events.length}, last ${JSON.stringify(this.events.slice(-5))}`))
      }, 20_000)
      const look = (): void => {
        if (this.events.length < count) return
        clearTimeout(timer)
        this.#looks.delete(look)
        resolve(this.events)
      }
      this.#looks.add(look)
      look()
    })
  }

  async #read(response: Response): Promise<'whole' | 'broken'> {
    let text = ''
    try {
      for await (const chunk of response.body ?? []) {
        text += Buffer.from(chunk as Uint8Array).toString()
        const parts = text.split('\n\n')
        text = parts.pop() ?? ''
        for (const part of parts) this.#take(part)
        for (const look of this.#looks) look()
      }
      return 'whole'
    } catch {
      return 'broken'
    }
  }

  #take(part: string): void {
    const fields = part.split('\n').map((line) => line.split(': ', 2))
    const of = (name: string): string | undefined => fields.find(([field]) => field === name)?.[1]
    const data = of('data')
    // A comment, or `retry` alone.
    if (data !== undefined) this.events.push({ id: of('id'), event: of('event'), data })
  }
}
