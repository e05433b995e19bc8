import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { root, startConfig } from './example.ts'

const config = 'examples/hello/sluice.config.js'

// One after the other, and on one server where nothing dies: a dozen servers starting at once on two cores
// would leave no time for the stream's lines to arrive one by one.
let url = ''
const ends: (() => unknown)[] = []
test.before(async () => {
  ;({ url } = await startConfig({ teardown: (end) => ends.push(end) }, config, { HELLO_CRASH: '' }))
})
test.after.always(() => ends.forEach((end) => end()))

test.serial('the page is HTML and names a worker', async (t) => {
  const response = await fetch(`${url}/`)
  t.is(response.status, 200)
  t.is(response.headers.get('content-type'), 'text/html;charset=UTF-8')
  t.regex(await response.text(), /worker <b>[01]<\/b>/)
})

test.serial('a user is found by the parameter in the path, and an unknown one is a 404', async (t) => {
  t.deepEqual(await (await fetch(`${url}/api/users/1`)).json(), { id: '1', name: 'Ada Lovelace' })
  const missing = await fetch(`${url}/api/users/none`)
  t.is(missing.status, 404)
  t.deepEqual(await missing.json(), { error: 'There is no user "none"' })
})

test.serial('the wrong method is a 405 that says which one is right', async (t) => {
  const response = await fetch(`${url}/upload`)
  t.is(response.status, 405)
  t.is(response.headers.get('allow'), 'POST')
})

test.serial('the stream arrives line by line, not at its end', async (t) => {
  const response = await fetch(`${url}/stream`)
  let text = ''
  let linesAtFirst = 0
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    linesAtFirst ||= text.split('\n').length - 1
  }
  t.deepEqual(
    text.trimEnd().split('\n').map((line) => line.replace(/ from .*/, '')),
    Array.from({ length: 10 }, (_, i) => `line ${i + 1} of 10`),
  )
  t.true(linesAtFirst < 10, 'All ten came at once')
})

test.serial('an upload of sixteen times the body limit is hashed as it comes', async (t) => {
  const chunk = randomBytes(64 * 1024)
  const count = 1024
  const hash = createHash('sha256')
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent++ === count) return controller.close()
      hash.update(chunk)
      controller.enqueue(chunk)
    },
  })
  const upload = { method: 'POST', body, duplex: 'half' }
  const response = await fetch(`${url}/upload`, upload)
  t.deepEqual(await response.json(), { bytes: count * chunk.byteLength, sha256: hash.digest('hex') })
})

test.serial('an upload without a body is zero bytes', async (t) => {
  const answer = await (await fetch(`${url}/upload`, { method: 'POST' })).json()
  t.deepEqual(answer, { bytes: 0, sha256: createHash('sha256').digest('hex') })
})

test.serial('crashing is off unless HELLO_CRASH=1', async (t) => {
  t.is((await fetch(`${url}/crash?how=exit`, { method: 'POST' })).status, 403)
})

const survives = test.macro({
  title: (_, how: string) => `the server answers on after crash?how=${how}, and says which worker died`,
  async exec(t: ExecutionContext, how: string) {
    const { command, url } = await startConfig(t, config, { HELLO_CRASH: '1' })
    const crash = await fetch(`${url}/crash?how=${how}`, { method: 'POST' })
    t.is(crash.status, 200)
    const { worker } = (await crash.json()) as { worker: string }
    for (let i = 0; i < 20; i++) t.is((await fetch(`${url}/api/users/2`)).status, 200)
    const id = worker.replace('sluice-w', '')
    await command.said(new RegExp(`Worker ${id} ended`))
    await command.said(new RegExp(`Worker ${id} serves`))
  },
})
for (const how of ['throw', 'exit', 'oom', 'loop']) test.serial(survives, how)

test.serial('every curl line of the README names an address that the example has', async (t) => {
  const { url } = await startConfig(t, config, { HELLO_CRASH: '1' })
  const readme = readFileSync(join(root, 'examples/hello/README.md'), 'utf8')
  const lines = [...readme.matchAll(/^curl (.*?)'?http:\/\/127\.0\.0\.1:5200([^\s']*)/gm)]
  t.true(lines.length >= 9)
  for (const [line, options = '', path = ''] of lines) {
    const body = /--data-binary|--upload-file/.test(options) ? 'x' : null
    const method = body !== null || /--request POST/.test(options) ? 'POST' : 'GET'
    t.is((await fetch(`${url}${path}`, { method, body })).status, 200, line)
  }
})
