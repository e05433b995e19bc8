/** Where a server listens, when it accepts, and who it is afterwards. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, createServer as createNetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import ava, { type ExecutionContext } from 'ava'
import { serve } from 'sluice'

import { app, Workplace } from '../cli/command.ts'
import { answering, AppFolder, ask, portOf, startServer } from '../support/server.ts'

const test = ava.serial

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-listening-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** What a request by a unix socket is answered. */
async function askUnix(path: string): Promise<string> {
  const socket = connect(path)
  socket.setEncoding('utf8').write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
  let answer = ''
  for await (const text of socket) answer += text
  return answer
}

test('a port that is optional and taken is reported and left out', async (t) => {
  const taken = createNetServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const folder = await AppFolder.create(t)
  const reported: [unknown, string][] = []
  const server = await startServer(t, {
    app: await folder.write(answering('ok')),
    workers: 1,
    ports: { admin: { protocol: 'http', listen: { port }, optional: true } },
    lifecycle: { error: (error, { phase }) => void reported.push([error, phase]) },
  })
  t.is((await ask(server, '/')).text, 'ok')
  const { address, error, url } = server.port('admin')
  t.like(error, { code: 'ERR_SLUICE_LISTEN' })
  t.regex(error!.message, /cannot listen on 127\.0\.0\.1:\d+ \(port "admin"\).*in use/)
  t.deepEqual([address, url], [{ host: '127.0.0.1', port }, `http://127.0.0.1:${port}`])
  t.is(server.port('main').error, undefined)
  t.deepEqual(reported, [[error, 'listen']])
  await t.throwsAsync(startServer(t, { app: folder.path('app.mjs'), listen: { port } }), { code: 'ERR_SLUICE_LISTEN' })
})

test('pauseAccept() and resumeAccept() work from a worker, stats() and connections of a port too', async (t) => {
  const server = await startServer(t, { app: new URL('../fixtures/paused.mjs', import.meta.url), workers: 1, ports: { side: { protocol: 'http', listen: { port: 0 } } } })
  const stats = async (path: string): Promise<Record<string, unknown>> => JSON.parse((await ask(server, path)).text) as Record<string, unknown>
  t.like(await stats('/'), { paused: false, acceptCount: 0, requestCount: 0, bytesIn: 0, bytesOut: 0, connections: 0 })
  t.like(await stats('/pause'), { paused: true })
  const answer = fetch(`${server.port('side').url}/`)
  for (let i = 0; i < 5; i++) t.like(await stats('/'), { acceptCount: 0 })
  t.like(await stats('/resume'), { paused: false })
  t.is((await answer).status, 200)
  const { acceptCount, bytesIn, bytesOut, connections, requestCount } = server.port('side').stats()
  t.deepEqual([acceptCount, requestCount], [1, 1])
  t.true(bytesIn > 0 && bytesOut > 0 && connections <= 1)
  t.is(server.port('side').connections.size, 0)
})

test('a unix socket has its mode and owner, and a stale one is replaced', async (t) => {
  const path = join(directory(t), 's')
  const isRoot = process.getuid?.() === 0
  const server = await serve({ fetch: () => new Response('unix'), stateDir: false, listen: { path, mode: 0o606, ...(isRoot && { owner: '4712:4711' }) } })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  t.is(statSync(path).mode & 0o777, 0o606)
  if (isRoot) t.like(statSync(path), { uid: 4712, gid: 4711 })
  t.regex(await askUnix(path), /unix$/)
  t.is(server.url, `unix:${path}`)
})

test('an abstract unix socket has a name and no file', async (t) => {
  const name = `sluice-listening-${process.pid}`
  const server = await serve({ fetch: () => new Response('abstract'), stateDir: false, listen: { path: `\0${name}` } })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  t.is(server.url, `unix:@${name}`)
  // Node.js 20 cannot name such a socket exactly.
  const { stdout } = await promisify(execFile)('curl', ['-sS', '--abstract-unix-socket', name, 'http://a/'])
  t.is(stdout, 'abstract')
})

test('systemd hands over sockets by number and by name', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': app(),
    'sluice.config.json': JSON.stringify({ app: 'app.mjs', workers: 1, listen: [{ fd: 'web' }, { fd: 3 }], log: { format: 'json' } }),
  })
  const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
  /** What systemd does: it listens, and starts the server with the sockets from descriptor 3 on. */
  const activate = async (variables: string): Promise<{ child: ChildProcess; port: number }> => {
    const listener = createNetServer().listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle
    const { port } = listener.address() as { port: number }
    const command = `exec env ${variables} "$0" "$@"`
    const child = spawn('sh', ['-c', command, process.execPath, cli, 'start'], { cwd: place.path, stdio: ['ignore', 'pipe', 'pipe', fd, fd] })
    t.teardown(() => child.kill('SIGKILL'))
    // Node.js would accept from it, unlike systemd.
    listener.close()
    return { child, port }
  }

  const { child, port } = await activate('LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=admin:web')
  const ended = once(child, 'exit')
  // The connection waits in the queue of the socket until the server accepts it.
  t.is(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'one')
  const restart = await place.run(['restart'])
  t.is(restart.code, 1)
  t.regex(restart.stderr, /inherited sockets/)
  t.is(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'one')
  child.kill('SIGTERM')
  t.deepEqual(await ended, [0, null])

  const stranger = (await activate('LISTEN_PID=1 LISTEN_FDS=2 LISTEN_FDNAMES=admin:web')).child
  let text = ''
  stranger.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  t.deepEqual(await once(stranger, 'close'), [1, null])
  t.regex(text, /descriptor web.*LISTEN_PID names another process.*ERR_SLUICE_LISTEN/)
})

test('a server with inherited sockets does not go to the background', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app(), 'sluice.config.json': '{ "app": "app.mjs", "listen": { "fd": 3 } }' })
  const { code, stderr } = await place.run(['start', '-d'])
  t.is(code, 2)
  t.regex(stderr, /inherited.*ERR_SLUICE_INVALID_OPTION/)
})

test('with deferAccept a connection is accepted when it has sent something', async (t) => {
  const server = await serve({ fetch: () => new Response('ok'), stateDir: false, listen: { port: 0 }, tcp: { deferAccept: 3_600_000, fastOpen: true, userTimeout: 60_000, keepAlive: 60_000 } })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  const silent = connect(portOf(server), '127.0.0.1')
  t.teardown(() => silent.destroy())
  await once(silent, 'connect')
  for (let i = 1; i <= 3; i++) {
    t.is((await ask(server, '/')).text, 'ok')
    t.is(server.port().stats().acceptCount, i)
  }
  silent.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  t.regex(String((await once(silent, 'data'))[0]), /200 OK/)
  t.is(server.port().stats().acceptCount, 4)
})

test('out of descriptors, accepting rests and goes on, and costs nothing meanwhile', async (t) => {
  const child = spawn('sh', ['-c', 'ulimit -n 64; exec "$0" "$@"', process.execPath, fileURLToPath(new URL('../fixtures/descriptors.mjs', import.meta.url))], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  const sockets: Socket[] = []
  t.teardown(() => sockets.forEach((socket) => socket.destroy()))
  for (let i = 0; i < 70; i++) {
    const socket = connect(port, '127.0.0.1').setEncoding('utf8').on('error', () => {})
    sockets.push(socket)
    await once(socket, 'connect')
  }
  const request = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
  const answered = async (socket: Socket): Promise<void> => {
    socket.write(request)
    t.regex(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200/)
  }
  const reported = once(child, 'message')
  child.send(5)
  const [{ accepted, cpuMs, rested }] = (await reported) as [{ accepted: number; cpuMs: number; rested: number }]
  t.true(accepted < 64, `${accepted} connections of 64 descriptors`)
  // A loop of failing accept(2) would have used all of the half second and more.
  t.true(cpuMs < 250, `${cpuMs} ms of CPU for ${rested} rests`)
  t.log({ accepted, cpuMs, rested })
  await answered(sockets[0]!)
  // As the first go, those that waited are accepted.
  for (const socket of sockets.splice(0, accepted)) socket.destroy()
  for (const socket of sockets) await answered(socket)
})

const root = process.getuid?.() === 0 ? test : test.skip

/** The ids that each thread of a process has, as `Uid`, `Gid` and `Groups` of its status say; a thread that ends meanwhile has none. */
function idsOfThreads(pid: number): Set<string> {
  const ids = readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
    try {
      return readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8').match(/^(?:Uid|Gid|Groups):.*$/gm)!.join(' ').replaceAll(/\s+/g, ' ')
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code!)) return []
      throw error
    }
  })
  return new Set(ids)
}

root('with `user` all threads become somebody else when the ports are bound', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': app(),
    'sluice.config.json': JSON.stringify({ app: 'app.mjs', workers: 2, listen: [{ port: 0 }, { path: 'web.sock' }], user: 'nobody', log: { file: 'log/sluice.log' } }),
  })
  chmodSync(place.path, 0o755)
  const server = place.spawn(['start'])
  const answers = async (): Promise<boolean> => (await place.run(['status', '--check'])).code === 0
  while (!(await answers())) t.is(server.child.exitCode, null)

  const { uid, gid } = statSync(place.file('web.sock'))
  t.true(uid > 0 && gid > 0)
  t.deepEqual([...idsOfThreads(server.pid)], [`Uid: ${uid} ${uid} ${uid} ${uid} Gid: ${gid} ${gid} ${gid} ${gid} Groups: ${gid} `])
  for (const file of ['.sluice', '.sluice/sluice.pid', '.sluice/sluice.sock', '.sluice/config.json', 'log', 'log/sluice.log']) {
    t.like(statSync(place.file(file)), { uid, gid }, file)
  }
  t.regex(await askUnix(place.file('web.sock')), /one$/)
  t.is((await place.run(['reload'])).code, 0)
  t.is(idsOfThreads(server.pid).size, 1)
  t.is((await place.run(['stop'])).code, 0)
  t.like(await server.ended, { code: 0 })
  t.false(existsSync(place.file('.sluice/sluice.pid')))
})

root('a server in the background keeps its state as another user, too, and leaves none', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': `export default { fetch: () => new Response([process.getuid(), process.getgid(), ...process.getgroups()].join()) }`,
    'sluice.config.json': JSON.stringify({ app: 'app.mjs', workers: 1, listen: { path: 'web.sock' }, user: 'nobody', group: 'nogroup' }),
  })
  chmodSync(place.path, 0o777)
  t.is((await place.run(['start', '-d'])).code, 0)
  const { uid, gid } = statSync(place.file('.sluice/sluice.sock'))
  t.regex(await askUnix(place.file('web.sock')), new RegExp(`${uid},${gid},${gid}$`))
  t.is((await place.run(['restart'])).code, 0)
  t.regex(await askUnix(place.file('web.sock')), new RegExp(`${uid},`))
  t.is((await place.run(['stop'])).code, 0)
  t.deepEqual(readdirSync(place.file('.sluice')), ['sluice.log'])
  t.false(existsSync(place.file('web.sock')))
})

root('a directory with other things in it does not go over', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': app(),
    'state/precious': 'mine',
    'sluice.config.json': JSON.stringify({ app: 'app.mjs', workers: 1, listen: { port: 0 }, user: 'nobody', stateDir: 'state', log: { file: 'state/sluice.log' } }),
  })
  chmodSync(place.path, 0o755)
  const server = place.spawn(['start'])
  while (!existsSync(place.file('state/sluice.log')) || !/chown nobody/.test(readFileSync(place.file('state/sluice.log'), 'utf8'))) {
    t.is(server.child.exitCode, null)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.deepEqual([statSync(place.file('state')).uid, statSync(place.file('state/precious')).uid], [0, 0])
  server.kill('SIGTERM')
  t.is((await server.ended).code, 0)
})

test('a user that nobody is, or that only root could become, is an error that says so', async (t) => {
  const folder = await AppFolder.create(t)
  const config = { app: await folder.write(answering('ok')), workers: 1 }
  await t.throwsAsync(startServer(t, { ...config, user: 'no-such-user' }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /there is no user "no-such-user"/ })
  await t.throwsAsync(startServer(t, { ...config, group: 'no-such-group' }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /there is no group "no-such-group"/ })
  await t.throwsAsync(startServer(t, { ...config, user: 'a b' }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /^user must be a name or a number/ })
  if (process.getuid?.() !== 0) await t.throwsAsync(startServer(t, { ...config, user: 0 }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /only root can become/ })
  // Who it is anyway needs no rights.
  const server = await startServer(t, { ...config, user: process.getuid?.(), group: process.getgid?.() })
  t.is((await ask(server, '/')).text, 'ok')
  t.true(portOf(server) > 0)
})
