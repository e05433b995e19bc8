import { existsSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import ava from 'ava'
import { isAlive } from '../../src-ts/process/pid-file.ts'
import { WebSocketClient } from '../../src-ts/websocket/client.ts'
import { app, get, Workplace } from './command.ts'

// Each test starts several processes; all at once they would only wait for each other's CPU.
const test = ava.serial

test('without a server stop exits with 0, and reload and status with 1', async (t) => {
  const place = new Workplace(t)
  t.like(await place.run(['stop']), { code: 0, stdout: 'Not running\n' })
  t.like(await place.run(['status']), { code: 1, stdout: 'Not running\n' })
  t.like(await place.run(['status', '--check']), { code: 1, stdout: '' })
  t.like(await place.run(['status', '--json']), { code: 1, stdout: '{"running":false}\n' })
  const { code, stderr } = await place.run(['reload'])
  t.is(code, 1)
  t.regex(stderr, /ERR_SLUICE_NOT_RUNNING/)
})

test('status shows the server, --json as one object, --check by the exit code alone', async (t) => {
  const place = new Workplace(t)
  const server = await place.serve()
  await get(server.url)
  const { code, stdout } = await place.run(['status'])
  t.is(code, 0)
  t.regex(stdout, new RegExp(`pid ${server.pid}, up \\d+ s: ready\\n`))
  t.regex(stdout, /requests 1,/)
  t.like(JSON.parse((await place.run(['status', '--json'])).stdout), { running: true, pid: server.pid, health: { ready: true } })
  t.like(await place.run(['status', '--check']), { code: 0, stdout: '' })
})

test('info tells versions and addresses, of the running server or of a start', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app(), 'sluice.config.json': '{ "app": "app.mjs", "listen": { "port": 1234 }, "workers": 3 }' })
  const before = await place.run(['info', '--json'])
  t.like(JSON.parse(before.stdout), { running: false, workers: 3, node: process.version, configFile: place.file('sluice.config.json') })
  t.regex((await place.run(['info'])).stdout, /not running[^]*http:\/\/127\.0\.0\.1:1234\n/)
  const server = await place.serve()
  t.like(JSON.parse((await place.run(['info', '--json'])).stdout), { running: true, pid: server.pid, workers: 1 })
})

test('tasks shows the queues and the failed tasks, and delivers these again or forgets them', async (t) => {
  const source = `
import { defineTask } from 'sluice'
let isBroken = true
export const flaky = defineTask('flaky', (input) => { if (isBroken) { isBroken = input !== 'once'; throw new TypeError('no luck') } })
export default async (req) => {
  await flaky.runAll(['once', 'again'], { queue: 'mail' })
  return new Response('ok')
}`
  const place = new Workplace(t, { 'app.mjs': source, 'sluice.config.json': '{ "app": "app.mjs", "listen": { "port": 0 }, "workers": 1, "tasks": { "concurrency": 1, "queues": { "mail": {} } } }' })
  const server = await place.serve()
  t.regex((await place.run(['tasks'])).stdout, /^queue +waiting +delayed +running +done +failed\ndefault +0 +0 +0 +0 +0\nmail +0 +0 +0 +0 +0\n$/)
  t.like(await place.run(['tasks', '--failed']), { code: 0, stdout: 'No failed tasks\n' })
  t.like(await place.run(['tasks', '--retry', '5']), { code: 1, stdout: '0 tasks delivered again\n' })
  t.like(await place.run(['tasks', '--retry', 'x']), { code: 2 })
  await get(server.url)
  t.regex((await place.run(['tasks'])).stdout, /\nmail +0 +0 +0 +1 +1\n\n1 failed task kept: sluice tasks --failed\n$/)
  t.regex((await place.run(['tasks', '--failed'])).stdout, /^id +task +queue +tries +failed at +error\n\d+ +flaky +mail +1 +\d{4}-\S+Z +no luck\n$/)
  const { failed } = JSON.parse((await place.run(['tasks', '--json'])).stdout) as { failed: { id: string; error: object }[] }
  t.like(failed, [{ name: 'flaky', attempts: 1, error: { message: 'no luck' } }])
  t.like(await place.run(['tasks', '--retry', failed[0]!.id]), { code: 0, stdout: '1 task delivered again\n' })
  t.like(await place.run(['tasks', '--forget', 'all']), { code: 1, stdout: '0 tasks forgotten\n' })
})

test('stop ends the server and waits for it', async (t) => {
  const place = new Workplace(t)
  const server = await place.serve()
  t.like(await place.run(['stop']), { code: 0, stdout: `Stopped pid ${server.pid}\n` })
  t.like(await server.ended, { code: 0 })
})

test('stop gives up after --timeout with 1, and with --force kills', async (t) => {
  const place = new Workplace(t)
  const server = await place.serve()
  const hanging = t.throwsAsync(get(`${server.url}/hang`))
  await server.said(/hanging/)
  const { code, stderr } = await place.run(['stop', '--timeout', '0.1', '--no-force'])
  t.is(code, 1)
  t.regex(stderr, new RegExp(`pid ${server.pid} did not stop in 0.1 s`))
  t.true(isAlive(server.pid))
  t.like(await place.run(['stop', '--timeout', '0.1', '--force']), { code: 0 })
  t.like(await server.ended, { signal: 'SIGKILL' })
  await hanging
})

test('reload serves new code; code that throws is refused with 1, its error, and the old code goes on', async (t) => {
  const place = new Workplace(t)
  const server = await place.serve()
  place.write('app.mjs', app('two'))
  t.regex((await place.run(['reload'])).stdout, /^Reloaded in \d+ ms\n$/)
  t.is(await get(server.url), 'two')
  place.write('app.mjs', 'throw new Error("half written")')
  const { code, stderr } = await place.run(['reload'])
  t.is(code, 1)
  t.regex(stderr, /the old code goes on[^]*half written/)
  t.is(await get(server.url), 'two')
})

test('reload --only tasks and SIGUSR2 replace the task workers alone; status shows them', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app(), 'sluice.config.json': '{ "app": "app.mjs", "tasks": {} }' })
  const server = await place.serve()
  t.regex((await place.run(['status'])).stdout, /worker {2}kind {4}state[^]*\n1 +task +idle +0 +0 /)
  place.write('app.mjs', app('two'))
  t.regex((await place.run(['reload', '--only', 'tasks'])).stdout, /^Reloaded in \d+ ms\n$/)
  t.is(await get(server.url), 'one')
  process.kill(server.pid, 'SIGUSR2')
  await server.said(/Task worker 1 is ready[^]*Task worker 1 is ready[^]*Reloaded/)
  t.is(await get(server.url), 'one')
  t.like(await place.run(['reload', '--only', 'everything']), { code: 2 })
})

/** WebSockets of a user `ada` in the group `g` and the topic `t`; each is greeted with its id. */
const sockets = `
export default {
  websocket: {
    open(ws) {
      ws.bind('ada')
      ws.join('g')
      ws.subscribe('t')
      ws.send(String(ws.id))
    },
    message() {},
  },
}
`

test('push reaches WebSockets by id, user, group, topic and all, as text and as bytes, and says how many', async (t) => {
  const place = new Workplace(t, { 'app.mjs': sockets, 'message.bin': 'bytes' })
  const server = await place.serve()
  const page = new WebSocketClient(server.url)
  t.teardown(() => page.terminate())
  const messages = page[Symbol.asyncIterator]()
  const { value: id } = await messages.next()
  for (const target of [String(id), 'uid:ada', 'group:g', 'topic:t', 'all']) {
    t.like(await place.run(['push', target, `to ${target}`]), { code: 0, stdout: 'Pushed to 1 connection\n', stderr: '' })
    t.is((await messages.next()).value, `to ${target}`)
  }
  t.like(await place.run(['push', 'all', '--binary-file', 'message.bin', '--json']), { code: 0, stdout: '{"connections":1}\n' })
  const { value: bytes } = await messages.next()
  t.deepEqual(typeof bytes === 'string' ? bytes : Buffer.from(bytes as Uint8Array), Buffer.from('bytes'))
  t.like(await place.run(['push', 'uid:bob', 'hi']), { code: 1, stdout: 'Nobody to push to\n' })
})

test('push exits with 2 for a wrong command line, and with 1 without a server', async (t) => {
  const place = new Workplace(t, { 'large.bin': 'x'.repeat(128 * 1024 + 1) })
  for (const args of [['everyone', 'hi'], ['all'], ['all', 'hi', '--binary-file', 'large.bin'], ['all', '--binary-file', 'none.bin'], ['all', '--binary-file', 'large.bin']]) {
    const { code, stdout, stderr } = await place.run(['push', ...args])
    t.is(code, 2, args.join(' '))
    t.is(stdout, '')
    t.not(stderr, '')
  }
  t.regex((await place.run(['push', 'all', 'hi'])).stderr, /ERR_SLUICE_NOT_RUNNING/)
})

for (const [command, code] of [
  ['stop', 1001],
  ['restart', 1012],
] as const) {
  test(`${command} closes WebSockets with ${code}`, async (t) => {
    const place = new Workplace(t, { 'app.mjs': sockets })
    const started = await place.run(['start', 'app.mjs', '-d', '--port', '0', '--workers', '1'])
    t.is(started.code, 0, started.stderr)
    const { ports } = JSON.parse((await place.run(['info', '--json'])).stdout) as { ports: { url: string }[] }
    const page = new WebSocketClient(ports[0]?.url ?? '')
    await once(page, 'message')
    const closed = once(page, 'close')
    t.is((await place.run([command])).code, 0)
    t.like((await closed)[0], { code, wasClean: true })
    t.is((await place.run(['stop'])).code, 0)
  })
}

test('-d returns when the server is ready, restart starts it in the same way, stop ends it', async (t) => {
  const place = new Workplace(t)
  const started = await place.run(['start', 'app.mjs', '-d', '--port', '0', '--workers', '1'])
  t.is(started.code, 0, started.stderr)
  const pid = Number(/with pid (\d+)/.exec(started.stdout)?.[1])
  t.is(readFileSync(place.file('.sluice/sluice.pid'), 'utf8'), `${pid}\n`)
  t.regex(readFileSync(place.file('.sluice/sluice.log'), 'utf8'), /ready in \d+ ms/)
  t.like(await place.run(['status', '--check']), { code: 0 })
  t.like(await place.run(['start', 'app.mjs', '-d', '--port', '0']), { code: 1 })

  const restarted = await place.run(['restart'])
  t.is(restarted.code, 0, restarted.stderr)
  t.false(isAlive(pid))
  const { pid: newPid, stats } = JSON.parse((await place.run(['status', '--json'])).stdout)
  t.not(newPid, pid)
  t.is(stats.workers, 1)
  t.like(await place.run(['stop']), { code: 0 })
  t.false(isAlive(newPid))
  t.false(existsSync(place.file('.sluice/sluice.pid')))
})

test('-d of an app that fails exits with 1 and shows why', async (t) => {
  const place = new Workplace(t, { 'app.mjs': 'throw new Error("no database")' })
  const { code, stderr } = await place.run(['start', 'app.mjs', '-d', '--port', '0'])
  t.is(code, 1)
  t.regex(stderr, /no database/)
})
