/** The programs in the pages about bodies do what the pages say. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { promisify } from 'node:util'
import test from 'ava'
import { Workplace } from '../cli/command.ts'
import { RawClient } from '../support/raw-client.ts'
import { portOf, startServer } from '../support/server.ts'
import { example } from './page.ts'

test('uploads.md: the photo is moved, and a form without one is refused', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': example('uploads.md', 'app.js'), 'sluice.config.js': 'export default { app: "./app.js" }', 'photos/.keep': '', 'me.jpg': 'a photo' })
  const { url } = await place.serve()
  const curl = async (...args: string[]): Promise<string> => (await promisify(execFile)('curl', ['-sS', ...args, url])).stdout
  t.is(await curl('-F', 'name=Ada', '-F', `photo=@${place.file('me.jpg')}`, '-H', 'x-request-id: one'), 'Thank you, Ada')
  t.is(readFileSync(place.file('photos/one.jpg'), 'utf8'), 'a photo')
  t.is(statSync(place.file('photos/one.jpg')).mode & 0o777, 0o640)
  t.is(await curl('-F', 'name=Ada'), 'A photo is missing')
  t.deepEqual(readdirSync(place.file('photos')).sort(), ['.keep', 'one.jpg'])
})

test('detach.md: the report is the answer, whenever it is ready', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': example('detach.md', 'app.js') })
  const server = await startServer(t, { app: place.file('app.js'), workers: 1 })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  const order = JSON.stringify({ id: 7 })
  client.send(`POST /report HTTP/1.1\r\nHost: a\r\nContent-Length: ${order.length}\r\n\r\n${order}`)
  // It is in nobody's hands once its worker has none left.
  while (server.stats().requestCount < 1 || server.stats().perWorker[0]!.concurrency > 0) await new Promise(setImmediate)
  server.postMessage(0, { id: 7, report: { pages: 3 } })
  t.is((await client.response()).text, '{"pages":3}')
})

test('compression.md: the configuration is one', async (t) => {
  const place = new Workplace(t, { 'package.json': '{ "type": "module" }', 'app.js': 'export default () => new Response("text".repeat(1000))', 'sluice.config.js': example('compression.md', 'sluice.config.js') })
  const { url } = await place.serve()
  const { stdout } = await promisify(execFile)('curl', ['-sSI', '-H', 'accept-encoding: gzip, zstd', url])
  t.regex(stdout, /content-encoding: zstd/i)
})
