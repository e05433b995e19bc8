import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { createProgram } from '../src-ts/cli/program.ts'
import { parseConfig } from '../src-ts/options.ts'
import { WebSocketClient } from '../src-ts/websocket/client.ts'
import { Command, Workplace } from './cli/command.ts'

const root = new URL('../', import.meta.url)
const text = (name: string) => readFileSync(new URL(name, root), 'utf8')
const readme = text('README.md')

/** The code blocks that begin with their file's name in a comment, by that name. */
const files = Object.fromEntries([...readme.matchAll(/^```js\n(\/\/ (\S+)\n[^]*?)^```$/gm)].map(([, code = '', name = '']) => [name, code]))
const shell = [...readme.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, block = '']) => block.trim().split('\n').map((line) => line.replace(/ +#.*/, '')))

/** The README's programs in an empty folder where sluice is installed. */
const workplace = (t: ExecutionContext) => new Workplace(t, { 'package.json': '{ "type": "module" }', ...files })

test('the first screen has ten lines that run and the two commands', (t) => {
  const screen = readme.split('\n').slice(0, 30).join('\n')
  t.true('app.js' in files)
  t.true((files['app.js'] ?? '').trim().split('\n').length <= 10)
  t.true(screen.includes('npm start') && screen.includes('npm test'))
})

test('app.js answers as it reads', async (t) => {
  const { url } = await workplace(t).serve(['-c', 'sluice.config.js', 'app.js'])
  t.deepEqual(await (await fetch(`${url}/there`)).json(), { hello: '/there', worker: 0 })
  t.deepEqual(await (await fetch(url, { method: 'POST', body: 'four' })).json(), { received: 4 })
})

test('sluice.config.js is a configuration that starts, with the name, the app and the limit it shows', async (t) => {
  const { url } = await workplace(t).serve()
  t.is((await fetch(url)).status, 200)
  t.is((await fetch(url, { method: 'POST', body: 'x'.repeat(1024 * 1024 + 1) })).status, 413)
})

for (const [name, expected] of [
  ['embed.js', 'You asked for /here'],
  ['workers.js', /^\{"hello":"\/here","worker":[01]\}$/],
] as const) {
  test(`${name} prints its address and answers`, async (t) => {
    const child = spawn(process.execPath, [name], { cwd: workplace(t).path, stdio: ['ignore', 'pipe', 'pipe'] })
    t.teardown(() => child.kill('SIGKILL'))
    const program = new Command(child)
    const [url] = await program.said(/http:\S+/)
    const answer = await (await fetch(`${url}/here`)).text()
    if (typeof expected === 'string') t.is(answer, expected)
    else t.regex(answer, expected)
  })
}

test('chat.js: WebSockets and event streams are in one chat, across a reload, and the shell speaks in it', async (t) => {
  const place = workplace(t)
  const { url } = await place.serve(['-c', 'sluice.config.js', 'chat.js'])
  const events = new EventText(await fetch(url))
  const page = new WebSocketClient(`${url}/chat?name=Ada`)
  t.teardown(() => page.terminate())
  const messages = page[Symbol.asyncIterator]()
  await once(page, 'open')

  page.send('hi')
  t.is((await messages.next()).value, 'Ada: hi')
  t.is((await place.run(['reload'])).code, 0)
  page.send('still here')
  t.is((await messages.next()).value, 'Ada: still here')
  const pushed = await place.run(['push', 'topic:chat', 'Back in five minutes'])
  t.like(pushed, { code: 0, stdout: 'Pushed to 2 connections\n' })
  t.is((await messages.next()).value, 'Back in five minutes')
  t.deepEqual(await events.data(3), ['Ada: hi', 'Ada: still here', 'Back in five minutes'])
})

test('gateway.js: a device, a packet and an admin meet on one server, each by its own port', async (t) => {
  const place = workplace(t)
  // The ports that it names may be in use here.
  writeFileSync(place.file('gateway.config.js'), (files['gateway.config.js'] ?? '').replace(/port: \d+/g, 'port: 0'))
  const { url } = await place.serve(['-c', 'gateway.config.js'])
  const { ports } = JSON.parse((await place.run(['status', '--json'])).stdout) as { ports: { name: string; url: string }[] }
  const address = (name: string): URL => new URL(ports.find((port) => port.name === name)?.url ?? '')
  const events = new EventText(await fetch(url))

  const device = connect(Number(address('devices').port), '127.0.0.1')
  t.teardown(() => device.destroy())
  const [greeting] = (await once(device, 'data')) as [Buffer]
  t.is(String(greeting), 'hello, who are you?\n')
  device.write('pump\n3')
  t.is((await place.run(['reload'])).code, 0)
  device.write('7 bar\n')
  t.deepEqual(await events.data(1), ['pump: 37 bar'])

  const sender = createSocket('udp4')
  t.teardown(() => sender.close())
  sender.send('21 °C', Number(address('telemetry').port), '127.0.0.1')
  t.deepEqual((await events.data(2)).at(-1), '127.0.0.1: 21 °C')

  const admin = request({ socketPath: place.file('admin.sock'), path: '/' }).end()
  const [answer] = (await once(admin, 'response')) as [IncomingMessage]
  t.deepEqual(await json(answer), { devices: 1 })
})

test('work.js waits for a task, or does not', async (t) => {
  const { url } = await workplace(t).serve(['-c', 'sluice.config.js', 'work.js'])
  t.deepEqual(await (await fetch(url)).json(), { total: 5_000_000_050_000_000 })
  const answer = await fetch(url, { method: 'POST' })
  t.is(answer.status, 202)
  t.regex(((await answer.json()) as { id: string }).id, /^\d+$/)
})

test('visitors.js counts over all workers', async (t) => {
  const { url } = await workplace(t).serve(['-c', 'sluice.config.js', 'visitors.js'])
  for (let visits = 1; visits <= 3; visits++) t.like(await (await fetch(url)).json(), { visits })
})

test('the commands under "Run an app" start, show, reload and stop it', async (t) => {
  const lines = shell.filter((line) => line.startsWith('npx sluice ')).map((line) => line.split(' ').slice(2))
  t.deepEqual(lines.map(([command]) => command), ['start', 'status', 'reload', 'stop'])
  // Without the configuration file, which names another address than the free port.
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': files['app.js'] ?? '' })
  const [start = [], ...others] = lines
  const server = place.spawn([...start, '--port', '0'])
  await server.said(/stop: /)
  t.regex(server.output, /\(2 workers, pid \d+\)/)
  for (const command of others) {
    const { code, stdout, stderr } = await place.run(command)
    t.is(code, 0, `${command.join(' ')}: ${stdout}${stderr}`)
  }
  t.is((await server.ended).code, 0)
})

test('the table of commands is the list of commands', (t) => {
  const shown = [...readme.matchAll(/^\| `sluice (\w+)/gm)].map(([, name]) => name)
  const program = createProgram([], () => undefined)
  t.deepEqual(shown.sort(), [...program.commands.map((command) => command.name()), 'help'].sort())
})

test('every npm script that is named exists', (t) => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> }
  for (const page of [readme, text('CONTRIBUTING.md')]) {
    for (const [, name = ''] of page.matchAll(/npm run ([\w:]+)/g)) t.true(name in scripts, name)
  }
})

const pages = ['README.md', 'CONTRIBUTING.md', 'docs/server-behavior.md', 'docs/architecture.md', 'docs/reference/realtime.md', 'docs/reference/tcp.md', 'docs/reference/udp.md', 'docs/reference/listening.md', 'docs/reference/publish.md', 'docs/reference/table.md', 'examples/hello/README.md', 'examples/embed/README.md']
for (const page of pages) {
  test(`every relative link of ${page} leads somewhere`, (t) => {
    const links = [...text(page).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link = '']) => link)
    for (const link of links) t.true(existsSync(fileURLToPath(new URL(link, new URL(page, root)))), link)
    t.pass()
  })
}

for (const page of ['README.md', 'docs/server-behavior.md']) {
  test(`the limits of ${page} are all there are, with their defaults`, (t) => {
    const shown = Object.fromEntries([...text(page).matchAll(/^\| `limits\.(\w+)` \| ([^|]+?) \|/gm)].map(([, name = '', value = '']) => [name, value]))
    const real = Object.fromEntries(Object.entries(parseConfig({}).ports[0]!.limits).map(([name, value]) => [name, shownValue(name, value)]))
    t.deepEqual(shown, real)
  })
}

test('the other defaults of docs/server-behavior.md are the real ones', (t) => {
  const parsed = parseConfig({})
  const config = { ...parsed, ...parsed.ports[0]! }
  const page = text('docs/server-behavior.md')
  const rows = [...page.slice(page.indexOf('\n| option | default |\n')).matchAll(/^\| `([\w.]+)` \| ([^|]+?) \|$/gm)]
  t.true(rows.length >= 6)
  for (const [, path = '', value] of rows) {
    const name = path.split('.').at(-1) ?? ''
    const real: unknown = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config)
    t.is(value, shownValue(name, real as number), path)
  }
  const { errors, within } = config.reload.rollback || { errors: 0, within: 0 }
  t.true(page.includes(`\`reload.rollback\` (${errors} crashes within ${within / 1000} s)`))
})

/** The data of the events in an answer. */
class EventText {
  readonly #body: AsyncIterator<Uint8Array>
  #text = ''

  constructor(response: Response) {
    if (response.body === null) throw new Error(`An answer without a body, status ${response.status}`)
    this.#body = response.body[Symbol.asyncIterator]()
  }

  /** The first `count` of them, when they are there. */
  async data(count: number): Promise<string[]> {
    for (;;) {
      const found = [...this.#text.matchAll(/^data: (.*)\n\n/gm)].map(([, data = '']) => data)
      if (found.length >= count) return found
      const { done, value } = await this.#body.next()
      if (done === true) throw new Error(`The stream has ended: ${this.#text}`)
      this.#text += Buffer.from(value).toString()
    }
  }
}

/** A default as the tables write it. */
function shownValue(name: string, value: number | readonly string[]): string {
  if (typeof value !== 'number') return value.length === 0 ? 'any' : value.join(' ')
  if (name === 'bodyMinRate') return `${value} B/s`
  if (name === 'highWaterMark' || name === 'lowWaterMark') return `${Math.round((value / parseConfig({}).ports[0]!.limits.sendBuffer) * 100) / 100} of it`
  if (name.endsWith('PerSecond') && value === 0) return 'off'
  if (/Bytes$|Body$|^bytes$|^sendBuffer$|^message$/.test(name)) return value % 1_048_576 === 0 ? `${value / 1_048_576} MiB` : `${value / 1024} KiB`
  if (/Timeout$|Grace$|Time$|After$|^ping$|^age$/.test(name)) return `${value / 1000} s`
  if (name === 'idle' && value === 0) return 'off'
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ' ')
}
