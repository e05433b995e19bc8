/** Starts servers that stop with their test, and writes applications that change while they run. */
import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { createServer, type Config, type LifecycleEvents, type Server } from 'sluice'

import { RawClient, type RawResponse } from './raw-client.ts'

/** How long a wait for an event may last, in milliseconds. Only reached when a promise is broken. */
const WAIT_MS = 20_000

/** A server on a free port. Errors that an application causes on purpose do not go to the terminal. */
export async function startServer(t: ExecutionContext, config: Config): Promise<Server> {
  const server = await createServer({ listen: { port: 0 }, core: { threads: 1 }, stateDir: false, ...config })
  server.on('error', () => undefined)
  t.teardown(() => server.shutdown({ timeout: 500 }))
  return server
}

/** The number of its first port. */
export function portOf(server: Server): number {
  const { address } = server.port()
  if (!('port' in address)) throw new Error('the first port is a unix socket')
  return address.port
}

/** One request on a connection of its own. */
export async function ask(server: Server, path: string, method = 'GET'): Promise<RawResponse> {
  const client = await RawClient.connect(portOf(server))
  try {
    client.send(`${method} ${path} HTTP/1.1\r\nHost: test\r\n${method === 'GET' ? '' : 'Content-Length: 0\r\n'}\r\n`)
    return await client.response(method)
  } finally {
    client.destroy()
  }
}

/** The arguments of the next `event` that `isMeant`. Rejects after 20 s, saying what it waited for. */
export function next<K extends keyof LifecycleEvents>(server: Server, event: K, isMeant: (...args: LifecycleEvents[K]) => boolean = () => true): Promise<LifecycleEvents[K]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms for \`${event}\``)), WAIT_MS)
    const stop = new AbortController()
    server.on(
      event,
      (...args) => {
        if (!isMeant(...args)) return
        clearTimeout(timer)
        stop.abort()
        resolve(args)
      },
      { signal: stop.signal },
    )
  })
}

/** An application in a folder of its own, with releases behind a symbolic link. */
export class AppFolder {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async create(t: ExecutionContext): Promise<AppFolder> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'sluice-app-')))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    return new AppFolder(folder)
  }

  /** The folder that {@link release} links to. */
  get current(): string {
    return join(this.#folder, 'current')
  }

  path(name: string): string {
    return join(this.#folder, name)
  }

  /** Writes a file in one go: a worker that starts meanwhile sees the old or the new one. */
  async write(source: string, name = 'app.mjs'): Promise<string> {
    const path = this.path(name)
    await writeFile(`${path}.new`, source)
    await rename(`${path}.new`, path)
    return path
  }

  /** Writes a release into a folder of its own and points `current` to it. */
  async release(name: string, source: string): Promise<void> {
    await mkdir(this.path(name))
    await writeFile(join(this.path(name), 'app.mjs'), source)
    await symlink(this.path(name), this.path('next'))
    await rename(this.path('next'), this.current)
  }
}

/** The source of an application that answers everything with `text`. */
export function answering(text: string): string {
  return `export default { fetch: () => new Response(${JSON.stringify(text)}) }`
}
