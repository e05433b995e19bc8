import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { createServer, connect, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import ava from 'ava'
import { app, get, Workplace } from './command.ts'

// Each test starts several processes; all at once they would only wait for each other's CPU.
const test = ava.serial

test('start serves, tells where, and keeps its state in .sluice until SIGTERM ends it with 0', async (t) => {
  const place = new Workplace(t)
  const server = await place.serve()
  t.regex(server.output, /SLUICE v\d+\.\d+\.\d+ {2}ready in \d+ ms +\(1 worker, pid (\d+)\)/)
  t.is(await get(server.url), 'one')
  t.is(readFileSync(place.file('.sluice/sluice.pid'), 'utf8'), `${server.pid}\n`)
  t.is(statSync(place.file('.sluice')).mode & 0o777, 0o700)
  t.is(statSync(place.file('.sluice/sluice.sock')).mode & 0o777, 0o600)
  t.is(JSON.parse(readFileSync(place.file('.sluice/config.json'), 'utf8')).workers, 1)
  server.kill('SIGTERM')
  t.like(await server.ended, { code: 0, stderr: '' })
  t.deepEqual(readdirSync(place.file('.sluice')), [])
})

for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
  test(`${signal} stops gracefully with 0`, async (t) => {
    const server = await new Workplace(t).serve()
    server.kill(signal)
    t.like(await server.ended, { code: 0 })
  })
}

test('a second SIGINT stops at once with 130 while a request hangs', async (t) => {
  const server = await new Workplace(t).serve()
  // Its worker is cut off: the core answers for it if there is still time, or else the connection breaks.
  const hanging = get(`${server.url}/hang`).catch(() => 'broken')
  await server.said(/hanging/)
  server.kill('SIGINT')
  await server.said(/Stopping: SIGINT/)
  // Until it is taken for a second wish rather than an echo of the first.
  const again = setInterval(() => server.kill('SIGINT'), 50)
  t.like(await server.ended, { code: 130 })
  clearInterval(again)
  t.true(['broken', 'stopping\n', 'worker-lost\n'].includes(await hanging))
})

test('a second start is refused with 1 and names the pid; -i starts all the same', async (t) => {
  const place = new Workplace(t)
  const server = await place.serve()
  const second = await place.run(['start', 'app.mjs', '--port', '0'])
  t.is(second.code, 1)
  t.regex(second.stderr, new RegExp(`Already running with pid ${server.pid}\\b`))
  const third = await place.serve(['-i'])
  t.is(await get(third.url), 'one')
  t.is(await get(server.url), 'one')
})

test('a stale pid file does not stop a start', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app(), '.sluice/sluice.pid': '4194304\n' })
  await place.serve()
  t.pass()
})

test('a taken port ends the start with 1, names the address and, where the system tells, the process', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const { port } = holder.address() as AddressInfo
  const place = new Workplace(t)
  const { code, stderr } = await place.run(['start', 'app.mjs', '--port', String(port)])
  t.is(code, 1)
  t.true(stderr.includes(`127.0.0.1:${port}`), stderr)
  t.true(stderr.includes('ERR_SLUICE_LISTEN'), stderr)
  if (existsSync('/proc/net/tcp')) t.true(stderr.includes(`held by pid ${process.pid} `), stderr)
  t.false(existsSync(place.file('.sluice/sluice.pid')))
})

test('an app that throws ends the start with 1 and its error', async (t) => {
  const { code, stderr } = await new Workplace(t, { 'app.mjs': 'throw new Error("no database")' }).run(['start', 'app.mjs', '--port', '0'])
  t.is(code, 1)
  t.regex(stderr, /no database[^]*app\.mjs/)
})

test('wrong command lines and configurations exit with 2', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app(), 'wrong.json': '{ "worker": 1 }' })
  const expected: [string[], RegExp][] = [
    [['start', '--prot', '1'], /unknown option '--prot'[^]*--port/],
    [['strat'], /unknown command 'strat'[^]*start/],
    [['start'], /app is required/],
    [['start', 'app.mjs', '--port', 'x'], /--port must be a whole number, got "x"/],
    [['start', 'app.mjs', '-c', 'absent.json'], /There is no configuration file absent\.json/],
    [['start', 'app.mjs', '-c', 'wrong.json'], /unknown option `worker` in wrong\.json, did you mean `workers`\?/],
    [['stop', '--timeout', 'soon'], /must be a number of seconds/],
    [[], /Usage: sluice/],
  ]
  for (const [args, message] of expected) {
    const { code, stderr } = await place.run(args)
    t.is(code, 2, args.join(' '))
    t.regex(stderr, message)
  }
})

test('help and version exit with 0', async (t) => {
  const place = new Workplace(t)
  t.like(await place.run(['help', 'start']), { code: 0, stderr: '' })
  t.like(await place.run(['--version']), { code: 0, stdout: `${JSON.parse(readFileSync('package.json', 'utf8')).version}\n` })
})

test('flags win over variables, variables over the file, the file over defaults', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': app(),
    'sluice.config.json': '{ "app": "app.mjs", "workers": 4, "maxWaitTime": 1, "log": { "level": "warn" } }',
  })
  const server = await place.serve(['--host', 'localhost'], { SLUICE_MAX_WAIT_TIME: '2', SLUICE_WORKERS: '3', HOST: '0.0.0.0' })
  const config = JSON.parse(readFileSync(place.file('.sluice/config.json'), 'utf8'))
  t.like(config, { workers: 1, maxWaitTime: 2, stuckAfter: 10_000, log: { level: 'warn' } })
  t.is(config.ports[0].listen.host, 'localhost')
  server.kill('SIGTERM')
  await server.ended
})

test('a TypeScript configuration that imports sluice is loaded', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': app('typed'),
    'sluice.config.ts': "import { defineConfig } from 'sluice'\nconst app: string = './app.mjs'\nexport default defineConfig({ app })\n",
  })
  t.is(await get((await place.serve()).url), 'typed')
})

test('-e loads .env.<env> and .env, -x sets X_VERSION', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app(), '.env': 'A=1\nB=1\n', '.env.prod': 'A=2\n' })
  const server = await place.serve(['-e', 'prod', '-x', '7.1'], { B: '3' })
  t.like(JSON.parse(await get(`${server.url}/env`)), { A: '2', B: '3', X_VERSION: '7.1' })
})

test('--no-state leaves no files', async (t) => {
  const place = new Workplace(t)
  await place.serve(['--no-state'])
  t.false(existsSync(place.file('.sluice')))
})

test('log.format json prints lines in the shape of pino, and nothing else', async (t) => {
  const place = new Workplace(t)
  const server = place.spawn(['start', 'app.mjs', '--port', '0', '--workers', '1'], { SLUICE_LOG_FORMAT: 'json' })
  await server.said(/"msg":"ready"/)
  server.kill('SIGTERM')
  const { stdout } = await server.ended
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line))
  t.like(lines[0], { level: 30, pid: server.pid, workers: 1, msg: 'ready' })
  t.regex(lines[0].urls[0], /^http:\/\/127\.0\.0\.1:\d+$/)
  t.deepEqual(
    lines.map(({ msg }) => msg),
    ['ready', 'Stopping: SIGTERM', 'Stopped'],
  )
})

test('log.file takes the output of workers, too, and SIGHUP opens it again', async (t) => {
  const place = new Workplace(t, { 'app.mjs': `console.log('loaded')\n${app()}` })
  const server = place.spawn(['start', 'app.mjs', '--port', '0', '--workers', '1'], { SLUICE_LOG_FILE: 'run.log' })
  const read = (name: string) => (existsSync(place.file(name)) ? readFileSync(place.file(name), 'utf8') : '')
  const until = async (isTrue: () => boolean) => {
    for (let turn = 0; !isTrue() && turn < 2_000; turn++) await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await until(() => /stop: /.test(read('run.log')) && /loaded/.test(read('run.log')))
  t.regex(read('run.log'), /loaded/)
  renameSync(place.file('run.log'), place.file('run.log.1'))
  server.kill('SIGHUP')
  await until(() => existsSync(place.file('run.log')))
  server.kill('SIGTERM')
  t.like(await server.ended, { code: 0, stdout: '', stderr: '' })
  t.regex(read('run.log'), /Stopped/)
  t.notRegex(read('run.log.1'), /Stopped/)
})

const hasPidof = spawnSync('pidof', ['-h']).error === undefined
;(hasPidof ? test : test.skip)('with a name, kill -USR1 $(pidof NAME) reloads', async (t) => {
  const place = new Workplace(t)
  const name = `t${process.pid}master`
  const server = await place.serve([], { SLUICE_NAME: name })
  place.write('app.mjs', app('two'))
  t.is(spawnSync('sh', ['-c', `kill -USR1 $(pidof ${name})`]).status, 0)
  await server.said(/Reloaded in/)
  t.is(await get(server.url), 'two')
})

const statusOf = (pid: number) => readFileSync(`/proc/${pid}/status`, 'latin1')
/** Whether a process catches SIGUSR1 (10): before Node has installed its handler the signal would simply kill it. */
const catchesUsr1 = (pid: number) => (BigInt(`0x${/^SigCgt:\s*(\w+)/m.exec(statusOf(pid))?.[1] ?? '0'}`) & (1n << 9n)) !== 0n

;(existsSync('/proc/self/status') ? test : test.skip)('SIGUSR1 from the first moment on leaves no inspector open', async (t) => {
  const place = new Workplace(t)
  // A free port, so that an inspector of something else is not taken for ours.
  const server = place.spawn(['start', 'app.mjs', '--port', '0', '--workers', '1'], { NODE_OPTIONS: '--inspect-port=0' })
  while (!catchesUsr1(server.pid)) await new Promise((resolve) => setImmediate(resolve))
  const again = setInterval(() => server.kill('SIGUSR1'), 1)
  await server.said(/stop: /)
  clearInterval(again)
  const [, port] = /Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(server.output) ?? []
  if (port === undefined) return t.pass()
  const socket = connect(Number(port), '127.0.0.1')
  const [error] = await once(socket, 'error')
  t.is(error.code, 'ECONNREFUSED')
})
