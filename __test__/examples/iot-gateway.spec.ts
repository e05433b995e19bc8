import { execFile, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { Command } from '../cli/command.ts'
import { root, startConfig } from './example.ts'

const folder = join(root, 'examples/iot-gateway')
const run = promisify(execFile)

/** How long a wait may last, in milliseconds; far beyond what it takes. */
const WAIT_MS = 20_000

interface Happening {
  readonly type: string
  readonly device?: string
  readonly text?: string
  readonly values?: Record<string, number>
  readonly command?: unknown
}

// The ports of its tutorial are what this example is about, so they are not free ones here; one server has them for all tests.
let url = ''
const ends: (() => unknown)[] = []
test.before(async () => {
  ;({ url } = await startConfig({ teardown: (end) => ends.push(end) }, 'examples/iot-gateway/sluice.config.js'))
})
test.after.always(() => ends.forEach((end) => end()))

/** What the page would see. Rejects after 20 s. */
async function* happenings(t: ExecutionContext): AsyncGenerator<Happening> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(new Error('waited 20 s for an event')), WAIT_MS)
  t.teardown(() => {
    clearTimeout(timer)
    stop.abort()
  })
  const response = await fetch(`${url}/events`, { signal: stop.signal })
  t.is(response.headers.get('content-type'), 'text/event-stream')
  // Now it is subscribed.
  yield { type: 'open' }
  let unread = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    unread += chunk
    const events = unread.split('\n\n')
    unread = events.pop()!
    for (const event of events) {
      const data = /^data: ?(.*)$/m.exec(event)?.[1]
      if (data !== undefined) yield JSON.parse(data) as Happening
    }
  }
}

async function next(events: AsyncGenerator<Happening>, isMeant: (event: Happening) => boolean): Promise<Happening> {
  for (;;) {
    const { value, done } = await events.next()
    if (done === true) throw new Error('the events ended')
    if (isMeant(value)) return value
  }
}

/** A program that is spoken to line by line. */
function start(t: ExecutionContext, program: string, ...args: string[]): { command: Command; say(text: string): void } {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  return { command: new Command(child), say: (text) => void child.stdin.write(text) }
}

test('telnet 127.0.0.1 5291', async (t) => {
  const { command, say } = start(t, 'telnet', '127.0.0.1', '5291')
  await command.said(/Welcome/)
  say('over there\n')
  await command.said(/Hello: over there/)
  say('quit\n')
  await command.said(/Connection closed by foreign host/)
  t.is((await command.ended).signal, null)
})

test('echo hi > /dev/udp/127.0.0.1/5292', async (t) => {
  const events = happenings(t)
  await next(events, ({ type }) => type === 'open')
  await run('bash', ['-c', 'echo hi > /dev/udp/127.0.0.1/5292'])
  t.is((await next(events, ({ type, text }) => type === 'telemetry' && text !== undefined)).text, 'hi')
  await run('bash', ['-c', 'echo temperature=21.5 humidity=40 > /dev/udp/127.0.0.1/5292'])
  t.deepEqual((await next(events, ({ type, values }) => type === 'telemetry' && values !== undefined)).values, { temperature: 21.5, humidity: 40 })
})

test('a device sends readings, and does what page and console tell it', async (t) => {
  const events = happenings(t)
  await next(events, ({ type }) => type === 'open')
  const device = start(t, process.execPath, join(folder, 'device.js'), 'pump-7')
  await device.command.said(/\{"welcome":"pump-7"\}/)
  const { values } = await next(events, ({ type, device: name }) => type === 'reading' && name === 'pump-7')
  t.deepEqual(Object.keys(values!), ['temperature'])
  t.true(((await (await fetch(`${url}/devices`)).json()) as string[]).includes('pump-7'))

  const send = (name: string, body: string, type = 'application/json') => fetch(`${url}/devices/${name}`, { method: 'POST', headers: { 'content-type': type }, body })
  t.is((await send('pump-7', '{"every":20}')).status, 202)
  await device.command.said(/\{"command":\{"every":20\}\}/)
  t.deepEqual((await next(events, ({ type }) => type === 'command')).command, { every: 20 })
  t.is((await send('pump-8', '{"every":20}')).status, 404)
  t.is((await send('pump-7', '20')).status, 400)
  t.is((await send('pump-7', '{', 'text/plain')).status, 415)

  const terminal = start(t, 'telnet', '127.0.0.1', '5291')
  await terminal.command.said(/Welcome/)
  terminal.say('devices\n')
  await terminal.command.said(/pump-7/)
  terminal.say('send pump-7 {"every":30}\n')
  await terminal.command.said(/sent/)
  await device.command.said(/\{"command":\{"every":30\}\}/)

  device.command.kill('SIGTERM')
  await next(events, ({ type, device: name }) => type === 'offline' && name === 'pump-7')
})

test('who does not speak as a device is sent away', async (t) => {
  for (const bytes of [[0, 2, 123, 125], [0, 1, 55], [0, 3, 1, 2, 3], [255, 255, 1]]) {
    const socket = connect(5293, '127.0.0.1')
    socket.resume()
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => undefined)
    socket.write(Uint8Array.from(bytes))
    await closed
  }
  t.pass()
})

test('the page and what it needs are there', async (t) => {
  const html = await (await fetch(`${url}/`)).text()
  const links = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, link = '']) => link)
  t.is(links.length, 2)
  for (const link of links) t.is((await fetch(url + link)).status, 200, link)
  t.is((await fetch(`${url}/app.js`)).status, 404)
})

test('its README shows what is there', (t) => {
  const readme = readFileSync(join(folder, 'README.md'), 'utf8')
  const files = readdirSync(folder).filter((name) => !name.startsWith('.') && name !== 'README.md')
  for (const name of files) t.true(readme.includes(`\`${name}\``) || readme.includes(`\`${name}/\``), name)
})
