import type { IncomingHttpHeaders } from 'node:http'

/**
 * How a client goes on where its connection broke, at a server that lets it (`options.resume` of Sluice's WebSocket handlers): the server
 * names the connection in its answer, and the next handshake says that name and how many messages have come.
 */
export class Resumption {
  #token: string | undefined
  #received = 0
  #isResumed = false

  /** The server went on: what was missed came again, and nothing twice. */
  get isResumed(): boolean {
    return this.#isResumed
  }

  /** Where to connect: the URL itself, until there is something to go on with. */
  urlFor(url: URL): URL {
    if (this.#token === undefined) return url
    const resumed = new URL(url)
    resumed.searchParams.set('resume', this.#token)
    resumed.searchParams.set('received', String(this.#received))
    return resumed
  }

  /** The server's answer to a handshake. */
  answered(headers: IncomingHttpHeaders): void {
    const token = headers['sluice-resume']
    this.#token = typeof token === 'string' ? token : undefined
    this.#isResumed = headers['sluice-resumed'] !== undefined
    if (!this.#isResumed) this.#received = 0
  }

  /** A message has come. */
  count(): void {
    this.#received += 1
  }
}
