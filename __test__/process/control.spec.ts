import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { ControlClient } from '../../src-ts/cli/control-client.ts'
import { CONTROL_LINE_BYTES_MAX, ControlServer, linesOf, type ControlHandlers } from '../../src-ts/process/control.ts'

const noHandlers: ControlHandlers = { ping: () => 'pong', status: () => undefined, info: (params) => params, reload: () => undefined, stop: () => undefined, push: () => undefined,
  tasks: () => undefined, cron: () => undefined, runCron: () => undefined }

async function start(t: ExecutionContext, handlers: Partial<ControlHandlers> = {}, name = 'sluice.sock'): Promise<{ path: string; server: ControlServer }> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-ctl-'))
  const path = join(directory, name)
  const server = new ControlServer(path, { ...noHandlers, ...handlers })
  t.teardown(() => {
    server.stop()
    rmSync(directory, { recursive: true })
  })
  await server.start()
  return { path, server }
}

async function connect(path: string): Promise<Socket> {
  const socket = createConnection(path)
  await once(socket, 'connect')
  return socket
}

async function exchange(path: string, text: string): Promise<unknown[]> {
  const socket = await connect(path)
  socket.end(text)
  const answers: unknown[] = []
  for await (const line of linesOf(socket)) answers.push(JSON.parse(line))
  return answers
}

test('the socket has mode 0600 whatever the umask, and nothing else is left beside it', async (t) => {
  const { path } = await start(t)
  t.is(statSync(path).mode & 0o777, 0o600)
  t.deepEqual(readdirSync(join(path, '..')), ['sluice.sock'])
})

test('start() makes the directory for this user only', async (t) => {
  const { path } = await start(t, {}, join('state', 'sluice.sock'))
  t.is(statSync(join(path, '..')).mode & 0o777, 0o700)
})

test('start() works in a directory that others may enter', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-ctl-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  chmodSync(directory, 0o755)
  const server = new ControlServer(join(directory, 's.sock'), noHandlers)
  await server.start()
  t.is(statSync(join(directory, 's.sock')).mode & 0o777, 0o600)
  server.stop()
})

test('a stale socket or file of that name is replaced', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-ctl-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'sluice.sock')
  writeFileSync(path, '')
  const server = new ControlServer(path, noHandlers)
  await server.start()
  t.deepEqual(await exchange(path, '{"id":1,"method":"ping"}\n'), [{ id: 1, result: 'pong' }])
  server.stop()
  t.false(existsSync(path))
})

test('a path too long for a unix address works', async (t) => {
  if (process.platform !== 'linux') return t.pass()
  const { path } = await start(t, {}, join('d'.repeat(90), 'sluice.sock'))
  const client = await ControlClient.connect(path)
  t.is(await client.call('ping'), 'pong')
  client.close()
})

test('calls are answered in order, with their id', async (t) => {
  const { path } = await start(t)
  const answers = await exchange(path, '{"id":1,"method":"ping"}\n{"id":"b","method":"info","params":{"a":[1]}}\n{"method":"status"}\n')
  t.deepEqual(answers, [
    { id: 1, result: 'pong' },
    { id: 'b', result: { a: [1] } },
    { id: null, result: null },
  ])
})

test('what is no request is answered with an error, and the next one is served', async (t) => {
  const { path } = await start(t)
  const answers = (await exchange(path, 'x\n[]\n{"id":2,"method":"toString"}\n{"id":3,"method":"ping"}\n')) as { id: unknown; error?: { message: string } }[]
  t.deepEqual(
    answers.map(({ id }) => id),
    [null, null, 2, 3],
  )
  t.is(answers[1]?.error?.message, 'A request is { id, method, params }')
  t.is(answers[2]?.error?.message, 'There is no method "toString"')
})

test('what a handler throws reaches the caller with its code', async (t) => {
  const { path } = await start(t, {
    reload: () => Promise.reject(Object.assign(new Error('not now'), { code: 'ERR_SLUICE_SHUTTING_DOWN' })),
  })
  const client = await ControlClient.connect(path)
  await t.throwsAsync(client.call('reload'), { code: 'ERR_SLUICE_SHUTTING_DOWN', message: 'not now' })
  client.close()
})

test('a line over the limit ends the connection, and not the server', async (t) => {
  const { path } = await start(t)
  const socket = await connect(path)
  socket.on('error', () => {})
  socket.write('x'.repeat(CONTROL_LINE_BYTES_MAX + 1))
  await once(socket, 'close')
  t.deepEqual(await exchange(path, '{"id":1,"method":"ping"}\n'), [{ id: 1, result: 'pong' }])
})

test('a line just at the limit is read', async (t) => {
  const { path } = await start(t)
  const frame = '{"id":1,"method":"info","params":""}\n'
  const text = frame.replace('""', JSON.stringify('x'.repeat(CONTROL_LINE_BYTES_MAX - frame.length)))
  t.like((await exchange(path, text))[0], { id: 1 })
})

test('connections beyond 32 are turned away', async (t) => {
  const { path } = await start(t)
  const sockets = await Promise.all(Array.from({ length: 32 }, () => connect(path)))
  const extra = createConnection(path)
  extra.on('error', () => {})
  await once(extra, 'close')
  for (const socket of sockets) socket.destroy()
  t.pass()
})

test('stop() ends connections, removes the socket and may be called again', async (t) => {
  const { path, server } = await start(t)
  const client = await ControlClient.connect(path)
  server.stop()
  await client.closed
  server.stop()
  t.false(existsSync(path))
})

test('a call whose server ends rejects with ERR_SLUICE_NOT_RUNNING', async (t) => {
  const { path, server } = await start(t, { reload: () => new Promise(() => {}) })
  const client = await ControlClient.connect(path)
  const call = client.call('reload')
  server.stop()
  await t.throwsAsync(call, { code: 'ERR_SLUICE_NOT_RUNNING' })
})

test('connect() rejects with ERR_SLUICE_NOT_RUNNING where nobody listens', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-ctl-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  mkdirSync(join(directory, 'a'))
  await t.throwsAsync(ControlClient.connect(join(directory, 'a', 'sluice.sock')), { code: 'ERR_SLUICE_NOT_RUNNING' })
})
