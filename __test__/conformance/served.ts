/**
 * Every conformance test runs on two servers: one whose handlers run on this thread, one with a worker thread.
 * Servers are shared by the tests of a file that want the same options, and end with the file.
 */
import test, { type ExecutionContext } from 'ava'
import { createServer, serve, type App, type Config, type Server } from 'sluice'
import { RawClient } from '../support/raw-client.ts'

/** Where the handlers run. */
type Mode = 'inline' | 'worker'
const modes: readonly Mode[] = ['inline', 'worker']

interface ServedOptions extends Pick<Config, 'limits' | 'serverHeader'> {
  /** The test counts what the server does, or how long it takes: it has a server and this thread to itself. @default false */
  readonly isAlone?: boolean
}

export interface Served {
  readonly server: Server
  readonly port: number
  /** A connection that is closed when the test ends. */
  connect(t: ExecutionContext): Promise<RawClient>
  /** The body of a GET on a connection of its own. */
  get(t: ExecutionContext, path: string): Promise<string>
}

/** Declares the test once per mode. */
export function testServed(title: string, body: (t: ExecutionContext, served: Served) => Promise<void>, options: ServedOptions = {}): void {
  const declare = options.isAlone ? test.serial : test
  for (const mode of modes) declare(`${title} [${mode}]`, async (t) => body(t, await served(mode, options, options.isAlone ? title : '')))
}

const running = new Map<string, Promise<Served>>()

test.after.always('the servers stop', async () => {
  for (const each of running.values()) await (await each).server.shutdown({ timeout: 1_000 })
})

function served(mode: Mode, { isAlone: _, ...options }: ServedOptions, owner: string): Promise<Served> {
  const key = JSON.stringify([mode, options, owner])
  const found = running.get(key) ?? start(mode, options)
  running.set(key, found)
  return found
}

const appUrl = new URL('app.mjs', import.meta.url)

async function start(mode: Mode, options: Omit<ServedOptions, 'isAlone'>): Promise<Served> {
  // One reactor, so that what two connections sent is seen in the order in which it was sent.
  const config = { listen: { host: '127.0.0.1', port: 0 }, core: { threads: 1 }, ...options }
  const server =
    mode === 'inline'
      ? await serve(((await import(appUrl.href)) as { default: App }).default, config)
      : await createServer({ ...config, app: appUrl, workers: 1 })
  const port = Number(new URL(server.url).port)
  const connect = async (t: ExecutionContext): Promise<RawClient> => {
    const client = await RawClient.connect(port)
    t.teardown(() => client.destroy())
    return client
  }
  const get = async (t: ExecutionContext, path: string): Promise<string> => {
    const client = await connect(t)
    client.send(`GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`)
    return (await client.response()).text
  }
  return { server, port, connect, get }
}

/** A request as bytes: method and path, then header lines, then the body. `Host` is added. */
export function request(line: string, fields: readonly string[] = [], body = ''): string {
  return [`${line} HTTP/1.1`, 'Host: test', ...fields, '', body].join('\r\n')
}

/** The same with a Content-Length. */
export function post(path: string, body: string, fields: readonly string[] = []): string {
  return request(`POST ${path}`, [...fields, `Content-Length: ${Buffer.byteLength(body, 'latin1')}`], body)
}
