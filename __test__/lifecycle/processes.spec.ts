import test, { type ExecutionContext } from 'ava'
import { Atomic, defineTable, Lock, type Config, type ProcessSpec, type Server } from 'sluice'

import { Deferred } from '../../src-ts/process/deferred.ts'
import { answering, AppFolder, ask, next, startServer } from '../support/server.ts'

// Each test starts several threads and processes; all at once they would only wait for each other's CPU.
const { serial } = test
const sluice = import.meta.resolve('sluice')

/** Does what it is told, and says so. */
const monitor = `
import { server } from '${sluice}'
export default async function run(ctx) {
  ctx.onRequest(async (data) => {
    if (data === 'hang') {
      await server.postMessage('main', 'hangs')
      await new Promise(() => {})
    }
    if (data === 'exit') process.exit(3)
    if (data === 'throw') setTimeout(() => { throw new Error('outside') })
    if (data === 'loop') for (;;);
    if (data === 'fail') throw Object.assign(new Error('no such figure'), { code: 'E_FIGURE' })
    if (data === 'function') return () => {}
    if (data === 'requests') return (await server.stats()).requestCount
    if (data === 'who') return { name: ctx.name, index: ctx.index, pid: process.pid, title: process.title, kind: server.worker.kind }
    return { got: data }
  })
  for await (const message of ctx.pipe) await ctx.pipe.write({ echo: message })
  await ctx.server.postMessage('main', ctx.name + ' ended: ' + ctx.signal.reason)
}
export const onReload = (ctx) => ctx.server.postMessage('main', 'onReload')
export const onStop = (ctx) => ctx.server.postMessage('main', 'onStop')
`

async function start(t: ExecutionContext, processes: Record<string, ProcessSpec>, config: Config = {}): Promise<{ server: Server; folder: AppFolder }> {
  const folder = await AppFolder.create(t)
  await folder.write(monitor, 'monitor.mjs')
  const app = await folder.write(`
import { server } from '${sluice}'
export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url)
    const process = server.process(searchParams.get('process') ?? 'monitor')
    try {
      if (pathname === '/request') return Response.json(await process.request(searchParams.get('data'), { timeout: 20_000 }))
      if (pathname === '/echo') {
        await process.write(searchParams.get('data'))
        return Response.json(await process.read())
      }
      return Response.json(await server.processes())
    } catch ({ name, code, message }) {
      return Response.json({ name, code, message })
    }
  },
}`)
  const server = await startServer(t, { app, root: folder.path('.'), workers: 1, processes, ...config })
  return { server, folder }
}

const json = async (server: Server, path: string): Promise<unknown> => JSON.parse((await ask(server, path)).text)

for (const kind of ['thread', 'process'] as const) {
  serial(`a ${kind} answers requests of a worker, and what is written to it`, async (t) => {
    const { server } = await start(t, { monitor: { kind, file: 'monitor.mjs' } as ProcessSpec })
    t.deepEqual(await json(server, '/request?data=1'), { got: '1' })
    t.deepEqual(await json(server, '/echo?data=hello'), { echo: 'hello' })
    t.like(await json(server, '/request?data=fail'), { name: 'Error', code: 'E_FIGURE', message: 'no such figure' })
    t.like(await json(server, '/request?data=function'), { code: 'ERR_SLUICE_INVALID_ARG' })
    t.true(((await json(server, '/request?data=requests')) as number) >= 4)
    const who = (await server.process('monitor').request('who')) as { pid: number }
    t.like(who, { name: 'monitor', index: 0, kind: 'process', ...(kind === 'process' && { title: 'sluice: process monitor' }) })
    t.is(who.pid === process.pid, kind === 'thread')
    t.is(await server.process('monitor').pid(), who.pid)
    t.like(await server.process('monitor').info(), { name: 'monitor', kind, id: 1, pid: who.pid, status: 'running', restarts: 0 })
    t.is(server.stats().processes, 1)
    await t.throwsAsync(server.process('monitor').request('hang', { timeout: 50 }), { code: 'ERR_SLUICE_PROCESS_TIMEOUT' })
    t.throws(() => server.process('nobody'), { code: 'ERR_SLUICE_INVALID_ARG', message: /there are monitor/ })
  })

  serial(`a ${kind} is started again when it has died, and requests wait for it`, async (t) => {
    const { server } = await start(t, { monitor: { kind, file: 'monitor.mjs', restartInterval: 20 } as ProcessSpec })
    const ways = [['exit', 'exit', 3], ['throw', 'throw', 1]] as const
    for (const [index, [how, reason, exitCode]] of ways.entries()) {
      const failed = next(server, 'processError')
      const hangs = next(server, 'message', (_from, data) => data === 'hangs')
      const open = json(server, '/request?data=hang')
      await hangs
      const request = server.process('monitor').request(how).catch(({ code }: { code: string }) => code)
      t.like(await failed, [{ reason, exitCode, restartIn: 20 * 2 ** index }])
      t.like(await open, { code: 'ERR_SLUICE_PROCESS_GONE' })
      if (how === 'exit') t.is(await request, 'ERR_SLUICE_PROCESS_GONE')
      t.deepEqual(await server.process('monitor').request('again'), { got: 'again' })
      t.is((await server.process('monitor').info()).restarts, index + 1)
    }
    t.is(server.stats().workers, 1)
  })

  serial(`a ${kind} is told of a reload and of the end`, async (t) => {
    const { server, folder } = await start(t, { monitor: { kind, file: 'monitor.mjs' } as ProcessSpec })
    await server.process('monitor').request('who')
    const said: unknown[] = []
    server.on('message', (_from, data) => void said.push(data))
    await folder.write(monitor.replace('got: data', 'new: data'), 'monitor.mjs')
    const after = next(server, 'afterReload')
    t.true((await server.reload()).ok)
    t.like(await after, [{ ok: true }])
    t.deepEqual(await server.process('monitor').request(1), { new: 1 })
    t.deepEqual([...said].sort(), ['monitor ended: reload', 'onReload'])
    said.length = 0
    await server.process('monitor').restart()
    t.deepEqual(await server.process('monitor').request(2), { new: 2 })
    t.deepEqual([...said].sort(), ['monitor ended: stop', 'onStop'])
    said.length = 0
    const reading = server.process('monitor').read()
    await server.shutdown()
    t.deepEqual([...said].sort(), ['monitor ended: stop', 'onStop'])
    t.is(await reading, undefined)
  })

  serial(`a ${kind} that does not stop is ended when the time is over`, async (t) => {
    const { server } = await start(t, { monitor: { kind, file: 'monitor.mjs' } as ProcessSpec }, { maxWaitTime: 200 })
    await server.process('monitor').request('who')
    const request = t.throwsAsync(server.process('monitor').request('loop'), { code: 'ERR_SLUICE_PROCESS_GONE' })
    const pid = (await server.process('monitor').pid())!
    const begin = performance.now()
    await server.shutdown()
    t.true(performance.now() - begin < 8_000)
    await request
    if (kind === 'process') t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  })
}

for (const kind of ['thread', 'process'] as const) {
  serial(`a ${kind} that hangs is noticed, killed and started again; one that may is left alone`, async (t) => {
    const { server } = await start(t, { monitor: { kind, file: 'monitor.mjs', restartInterval: 10 } as ProcessSpec, busy: { kind, file: 'monitor.mjs', stuckAfter: false } as ProcessSpec }, { stuckAfter: 1_500 })
    await Promise.all(['monitor', 'busy'].map((name) => server.process(name).request('who')))
    const failed = next(server, 'processError')
    const looping = server.process('busy').request('loop').catch(({ code }: { code: string }) => code)
    const begin = performance.now()
    await t.throwsAsync(server.process('monitor').request('loop'), { code: 'ERR_SLUICE_PROCESS_GONE' })
    t.true(performance.now() - begin >= 1_000)
    t.like(await failed, [{ process: { name: 'monitor', stuck: 1 }, reason: 'stuck', restartIn: 10 }])
    t.deepEqual(await server.process('monitor').request('again'), { got: 'again' })
    t.like(await server.process('busy').info(), { status: 'running', stuck: 0, restarts: 0 })
    t.is(server.stats().processesStuck, 1)
    await server.shutdown({ timeout: 300 })
    t.is(await looping, 'ERR_SLUICE_PROCESS_GONE')
  })

  serial(`a ${kind} whose onReload throws is reloaded; one whose onReload hangs is ended when the time is over, and reloaded`, async (t) => {
    const folder = await AppFolder.create(t)
    const code = `export default ({ onRequest, signal }) => { onRequest(() => 'here'); return new Promise((resolve) => signal.addEventListener('abort', resolve)) }`
    await folder.write(`${code}\nexport function onReload() { throw new Error('not now') }`, 'throws.mjs')
    await folder.write(`${code}\nexport const onReload = () => new Promise(() => {})`, 'hangs.mjs')
    const other = await startServer(t, {
      app: await folder.write(answering('x'), 'other.mjs'),
      root: folder.path('.'),
      workers: 1,
      maxWaitTime: 800,
      processes: Object.fromEntries(['throws', 'hangs'].map((name) => [name, { kind, file: `${name}.mjs` } as ProcessSpec])),
    })
    for (const name of ['throws', 'hangs']) t.is(await other.process(name).request(0), 'here')
    const told = next(other, 'error', ({ message }) => message === 'not now')
    const late = next(other, 'error', (error) => 'code' in error && error.code === 'ERR_SLUICE_PROCESS_TIMEOUT')
    const after = next(other, 'afterReload')
    t.true((await other.reload({ only: ['processes'] })).ok)
    t.is((await told)[1].phase, 'process')
    t.regex((await late)[0].message, /"hangs" did not come to its end in the \d+ ms/)
    await after
    for (const name of ['throws', 'hangs']) t.is(await other.process(name).request(0), 'here')
    t.deepEqual((await other.processes()).map(({ restarts, status }) => [status, restarts]), [['running', 0], ['running', 0]])
    await other.shutdown()
    await t.throwsAsync(other.process('throws').restart(), { code: 'ERR_SLUICE_SHUTTING_DOWN' })
  })

  serial(`the pipe of a ${kind} is of messages, of bytes, or none`, async (t) => {
    const folder = await AppFolder.create(t)
    await folder.write(`import { pipeline } from 'node:stream/promises'
export default async function run({ name, pipe, onRequest, signal }) {
  if (name === 'none') {
    onRequest(async () => [await pipe.read().catch((error) => error.code), await pipe.write('x').catch((error) => error.code), (() => { try { pipe.duplex } catch (error) { return error.code } })()])
    return new Promise((resolve) => signal.addEventListener('abort', resolve))
  }
  if (name === 'stream') await pipeline(pipe.duplex, async function* (source) { for await (const chunk of source) yield chunk.toString('latin1').toUpperCase() }, pipe.duplex, { end: false }).catch((error) => { if (!signal.aborted) throw error })
  else for await (const message of pipe.duplex) pipe.duplex.write({ echo: message })
}`, 'pipe.mjs')
    const server = await startServer(t, {
      app: await folder.write(answering('x'), 'other.mjs'),
      root: folder.path('.'),
      workers: 1,
      processes: Object.fromEntries((['none', 'stream', 'datagram'] as const).map((pipe) => [pipe, { kind, pipe, file: 'pipe.mjs' } as ProcessSpec])),
    })
    const codes = ['ERR_SLUICE_INVALID_STATE', 'ERR_SLUICE_INVALID_STATE', 'ERR_SLUICE_INVALID_STATE']
    t.deepEqual(await server.process('none').request(0), codes)
    const none = server.process('none')
    t.throws(() => none.duplex, { code: 'ERR_SLUICE_INVALID_STATE' })
    for (const use of [() => none.write('x'), () => none.read()]) await t.throwsAsync(use, { code: 'ERR_SLUICE_INVALID_STATE' })

    const stream = server.process('stream')
    await t.throwsAsync(stream.write({ an: 'object' }), { code: 'ERR_SLUICE_INVALID_ARG' })
    // More than may wait: who writes is held back until it is read.
    const sent = 'abcdefghij'.repeat(100_000)
    let got = ''
    const { duplex } = stream
    t.is(duplex, stream.duplex)
    duplex.setEncoding('latin1')
    const all = new Promise<void>((resolve) => duplex.on('data', (chunk: string) => void ((got += chunk).length >= 20 * sent.length && resolve())))
    for (let round = 0; round < 20; round += 1) duplex.write(sent)
    await all
    t.true(got === sent.toUpperCase().repeat(20))

    const { duplex: messages } = server.process('datagram')
    const echoes: unknown[] = []
    const ten = new Promise<void>((resolve) => messages.on('data', (message) => void (echoes.push(message) === 10 && resolve())))
    for (let count = 0; count < 10; count += 1) messages.write({ count })
    await ten
    t.deepEqual(echoes, Array.from({ length: 10 }, (_, count) => ({ echo: { count } })))
    const ended = new Promise((resolve) => messages.on('end', resolve))
    await server.shutdown()
    await ended
  })
}

serial('bytes on the lines of a process of its own that are no messages cost that process, and nobody else', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write(`import { writeSync } from 'node:fs'
export default ({ onRequest }) => { onRequest(([fd, bytes]) => { writeSync(fd, bytes); return new Promise(() => {}) }); return new Promise(() => {}) }`, 'garbage.mjs')
  const server = await startServer(t, { app: await folder.write(answering('x'), 'other.mjs'), root: folder.path('.'), workers: 1, processes: { child: { kind: 'process', file: 'garbage.mjs', restartInterval: 1 } } })
  const garbage = [Buffer.from('garbage'), Buffer.alloc(100_000, 255), Buffer.from([4, 0, 0, 0, 1, 2, 3, 4]), Buffer.alloc(4)]
  for (const fd of [3, 4]) {
    for (const bytes of fd === 3 ? garbage : garbage.slice(0, 1)) {
      const failed = next(server, 'processError')
      await t.throwsAsync(server.process('child').request([fd, bytes]), { code: 'ERR_SLUICE_PROCESS_GONE' })
      const [{ error, reason, signal }] = await failed
      t.deepEqual([reason, signal], ['signal', 'SIGKILL'])
      t.regex(error?.message ?? '', /makes no sense/)
    }
  }
  t.is((await ask(server, '/')).text, 'x')
  await server.shutdown({ timeout: 300 })
})

serial('what a process of its own holds and waits for is given back when it dies', async (t) => {
  const folder = await AppFolder.create(t)
  const lock = new Lock('held by a child')
  await folder.write(`import { Lock, server } from '${sluice}'
export default async ({ onRequest }) => {
  const lock = new Lock('held by a child')
  onRequest(async (what) => {
    if (what === 'hold') return (await lock.acquire()).fence
    void lock.acquire().then(() => server.postMessage('main', 'granted'))
    await new Promise(setImmediate)
    return 'waits'
  })
  return new Promise(() => {})
}`, 'lock.mjs')
  const server = await startServer(t, { app: await folder.write(answering('x'), 'other.mjs'), root: folder.path('.'), workers: 1, processes: { child: { kind: 'process', file: 'lock.mjs', restartInterval: 1 }, other: { kind: 'process', file: 'lock.mjs', restartInterval: 1 } } })
  const fence = (await server.process('child').request('hold')) as number
  t.is(lock.tryAcquire(), undefined)
  t.is(await server.process('other').request('wait'), 'waits')
  // It has a place in the line, and dies there.
  process.kill((await server.process('other').pid())!, 'SIGKILL')
  await next(server, 'processError')
  const granted = lock.acquire({ timeout: 20_000 })
  process.kill((await server.process('child').pid())!, 'SIGKILL')
  const held = await granted
  t.true(held.fence > fence)
  const told = next(server, 'message')
  t.is(await server.process('child').request('wait'), 'waits')
  held.release()
  t.deepEqual(await told, [1, 'granted'])
  await server.shutdown({ timeout: 300 })
})

serial('what others send to a process of its own that does not read has a bound, and does not kill it', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write(`import { defineTable, t } from '${sluice}'
export default ({ onRequest }) => {
  const gate = defineTable('gate', { size: 1, columns: { open: t.bool() } })
  onRequest((data) => { if (data === 'wait') while (!gate.get('gate', 'open')); return typeof data })
  return new Promise(() => {})
}`, 'deaf.mjs')
  const server = await startServer(t, { app: await folder.write(answering('x'), 'other.mjs'), root: folder.path('.'), workers: 1, stateDir: folder.path('state'), processes: { deaf: { kind: 'process', file: 'deaf.mjs', stuckAfter: false } } })
  const deaf = server.process('deaf')
  t.is(await deaf.request(1), 'number')
  const gate = defineTable('gate', { size: 1, columns: { open: { type: 'bool' } } })
  const waiting = deaf.request('wait')
  const chunk = new Uint8Array(8 * 1024 * 1024)
  let sent = 0
  t.throws(() => { for (; sent < 100; sent += 1) server.postMessage(1, chunk) }, { code: 'ERR_SLUICE_INVALID_STATE' })
  t.true(sent >= 8 && sent < 12, `${sent} messages of 8 MiB`)
  await t.throwsAsync(deaf.request(chunk), { code: 'ERR_SLUICE_PROCESS_FULL' })
  gate.set('gate', { open: true })
  t.is(await waiting, 'string')
  for (;;) {
    const answer = await deaf.request({}).catch(({ code }: { code: string }) => code)
    if (answer === 'object') break
    t.is(answer, 'ERR_SLUICE_PROCESS_FULL')
    await new Promise(setImmediate)
  }
  t.is((await deaf.info()).restarts, 0)
  await server.shutdown({ timeout: 300 })
})

serial('each instance has a queue of its own where who pushes names it', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write(`export default async ({ name, queue, pipe, signal }) => { for (;;) await pipe.write([name, await queue.pop({ signal })]) }`, 'pop.mjs')
  const server = await startServer(t, { app: await folder.write(answering('x'), 'other.mjs'), root: folder.path('.'), workers: 1, processes: { pop: { file: 'pop.mjs', instances: 2, queue: { capacity: 3, mode: 'orient' } }, plain: { command: ['true'], enable: false, queue: true } } })
  for (const name of ['pop1', 'pop0']) for (const entry of [1, 2, 3]) t.true(await server.process(name).queue.push([name, entry]))
  for (const name of ['pop0', 'pop1']) for (const entry of [1, 2, 3]) t.deepEqual(await server.process(name).read(), [name, [name, entry]])
  t.true(await server.process('plain').queue.push(1))
  await server.shutdown()
})

serial('a command whose input is a stream is held back by it, and sees its end; one without a pipe has none', async (t) => {
  const { server } = await start(t, { count: { command: ['wc', '-c'], redirect: true, maxRestarts: 0 }, none: { command: ['cat'], pipe: 'none', maxRestarts: 0 }, deaf: { command: ['sh', '-c', 'exec 0<&-; echo closed; exec sleep 1000'], redirect: true } })
  await t.throwsAsync(server.process('none').write('x'), { code: 'ERR_SLUICE_INVALID_STATE' })
  const deaf = server.process('deaf')
  if ((await deaf.info()).status !== 'running') await next(server, 'processStart', ({ name }) => name === 'deaf')
  // It has closed its input when it has said so; that the pipe is broken shows with what is written to it.
  t.truthy(await deaf.read())
  const refusal = async (): Promise<unknown> => {
    for (;;) await deaf.write('x')
  }
  await t.throwsAsync(refusal(), { code: 'ERR_SLUICE_PROCESS_GONE', message: /closed its input/ })
  while ((await server.process('none').info()).status !== 'ended') await next(server, 'processError')
  const count = server.process('count')
  if ((await count.info()).status !== 'running') await next(server, 'processStart', ({ name }) => name === 'count')
  for (let round = 0; round < 20; round += 1) count.duplex.write(Buffer.alloc(1_000_000))
  count.duplex.end()
  t.is(Buffer.from((await count.read()) as Uint8Array).toString().trim(), '20000000')
})

serial('a thread and a process of its own deliver tasks and await them', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write(`import { defineTask, server } from '${sluice}'
export const add = defineTask('add', ([a, b]) => { if (b < 0) throw Object.assign(new RangeError('negative'), { code: 'E_NEGATIVE' }); server.postMessage('main', [server.worker.kind, a + b]); return a + b })`, 'tasks.mjs')
  await folder.write(`import { add } from './tasks.mjs'
export default ({ onRequest, signal }) => { onRequest((numbers) => add.run(numbers)); return new Promise((resolve) => signal.addEventListener('abort', resolve)) }`, 'thread.mjs')
  await folder.write(`import { add } from './tasks.mjs'
export default ({ onRequest, signal }) => {
  onRequest(async ({ method, input, options }) => method === 'deliver' ? add.deliver(input, options).id : add.run(input, options))
  return new Promise((resolve) => signal.addEventListener('abort', resolve))
}`, 'child.mjs')
  const app = await folder.write(`import './tasks.mjs'\n${answering('x')}`, 'with-tasks.mjs')
  const server = await startServer(t, { app, root: folder.path('.'), workers: 1, tasks: {}, processes: { thread: { file: 'thread.mjs' }, child: { kind: 'process', file: 'child.mjs' } } })
  const told = next(server, 'message')
  t.is(await server.process('thread').request([1, 2]), 3)
  t.deepEqual((await told)[1], ['task', 3])
  const again = next(server, 'message', (_from, data) => String(data) === 'task,7')
  t.regex((await server.process('child').request({ method: 'deliver', input: [3, 4] })) as string, /^\d+$/)
  await again
  t.is(await server.process('child').request({ method: 'run', input: [5, 6] }), 11)
  await t.throwsAsync(server.process('child').request({ method: 'run', input: [5, -6] }), { code: 'E_NEGATIVE', message: 'negative' })
  await t.throwsAsync(server.process('child').request({ method: 'deliver', input: [3, 4], options: { queue: 'none' } }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

serial('tables and atomics are the same in a process of its own, where the server has a state directory', async (t) => {
  const folder = await AppFolder.create(t)
  const shared = `import { AtomicLong, defineTable, server, t } from '${sluice}'
const total = new AtomicLong('total of processes.spec')
const rows = defineTable('rows-of-processes.spec', { size: 10, columns: { count: t.int() } })
const count = (by) => [Number(total.add(BigInt(by))), rows.incr('a', 'count', by)]`
  await folder.write(`${shared}
export default ({ onRequest, signal }) => { onRequest(count); return new Promise((resolve) => signal.addEventListener('abort', resolve)) }`, 'count.mjs')
  const app = await folder.write(`${shared}
export default { fetch: () => Response.json(count(1)) }`, 'counting.mjs')
  const server = await startServer(t, { app, root: folder.path('.'), workers: 1, stateDir: folder.path('state'), processes: { count: { kind: 'process', file: 'count.mjs' } } })
  t.deepEqual(await json(server, '/'), [1, 1])
  t.deepEqual(await server.process('count').request(100), [101, 101])
  t.deepEqual(await json(server, '/'), [102, 102])
})

serial('a table that the program had before its server, and atomics in other memory, are refused in a process of its own', async (t) => {
  const spec = { size: 10, columns: { count: { type: 'int' } } } as const
  const early = defineTable('defined before the server'.replaceAll(' ', '-'), spec)
  early.set('a', { count: 1 })
  // In memory of this process, or of an earlier server of it.
  const atomic = new Atomic('used before the server')
  const folder = await AppFolder.create(t)
  await folder.write(`import { Atomic, defineTable } from '${sluice}'
const codeOf = (use) => { try { use(); return 'none' } catch ({ code, message }) { return [code, message] } }
const spec = ${JSON.stringify(spec)}
export default ({ onRequest, signal }) => {
  onRequest(() => [codeOf(() => defineTable('defined-before-the-server', spec)), codeOf(() => new Atomic('used before the server')), codeOf(() => defineTable('another-one', spec))])
  return new Promise((resolve) => signal.addEventListener('abort', resolve))
}`, 'early.mjs')
  const server = await startServer(t, { app: await folder.write(answering('x')), root: folder.path('.'), workers: 1, stateDir: folder.path('state'), processes: { early: { kind: 'process', file: 'early.mjs' } } })
  const [table, number, other] = (await server.process('early').request(0)) as [[string, string], [string, string], string]
  t.is(table[0], 'ERR_SLUICE_INVALID_STATE')
  t.regex(table[1], /"defined-before-the-server" before its server was started/)
  t.is(number[0], 'ERR_SLUICE_INVALID_STATE')
  t.is(other, 'none')
  t.is(atomic.get(), 0)
  await server.shutdown()
})

serial('instances have names of their own and share a queue', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write(`export default async ({ name, queue, pipe, signal }) => { for (;;) await pipe.write([name, await queue.pop({ signal })]) }`, 'pop.mjs')
  const other = await startServer(t, { app: await folder.write(answering('x'), 'other.mjs'), root: folder.path('.'), workers: 1, processes: { pop: { file: 'pop.mjs', instances: 2, queue: { capacity: 3 } }, idle: { command: ['sleep', '1000'], queue: { capacity: 2 } } } })
  t.deepEqual((await other.processes()).map(({ id, name, kind }) => [id, name, kind]), [[1, 'pop0', 'thread'], [2, 'pop1', 'thread'], [3, 'idle', 'command']])
  const { queue } = other.process('pop0')
  const seen: unknown[] = []
  for (let entry = 0; entry < 10; entry += 1) {
    while (!(await queue.push(entry))) await new Promise(setImmediate)
  }
  const readers = ['pop0', 'pop1'].map(async (name) => {
    for await (const message of other.process(name)) {
      const [from, entry] = message as [string, number]
      t.is(from, name)
      seen.push(entry)
      if (seen.length === 10) return
    }
  })
  await Promise.race(readers)
  t.deepEqual(seen.sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  const idle = other.process('idle').queue
  t.deepEqual([await idle.push(1), await idle.push(2), await idle.push(3), await idle.length()], [true, true, false, 2])
  const never = new AbortController()
  const pop = t.throwsAsync(queue.pop({ signal: never.signal }), { message: 'enough' })
  never.abort(new Error('enough'))
  await pop
  await other.shutdown()
})

serial('what a command writes is told line by line; redirected it is read, and its input is written', async (t) => {
  const lines: string[] = []
  const said = new Deferred()
  const { server } = await start(t, {
    // When `two` is told, `three` was said.
    chatty: { command: ['sh', '-c', 'echo one; printf three; echo two >&2; exec sleep 1000'] },
    upper: { command: ['sh', '-c', 'while read -r line; do echo "<$line>"; done'], redirect: true },
  }, {
    lifecycle: {
      processOutput: ({ line, process, stream }) => {
        lines.push([process, stream, line].join(' '))
        if (line === 'two') said.resolve()
      },
    },
  })
  const upper = server.process('upper')
  await upper.write('hello\n').catch(async () => {
    await next(server, 'processStart', ({ name }) => name === 'upper')
    await upper.write('hello\n')
  })
  t.is(Buffer.from((await upper.read()) as Uint8Array).toString(), '<hello>\n')
  await t.throwsAsync(upper.write({ an: 'object' }), { code: 'ERR_SLUICE_INVALID_ARG' })
  await t.throwsAsync(server.process('chatty').read(), { code: 'ERR_SLUICE_INVALID_STATE' })
  await t.throwsAsync(server.process('chatty').request(1), { code: 'ERR_SLUICE_INVALID_STATE' })
  await said.promise
  await server.shutdown()
  t.deepEqual(lines.sort(), ['chatty stderr two', 'chatty stdout one', 'chatty stdout three'])
})

serial('a process that comes to its end runs again after its interval, as often as it may', async (t) => {
  const { server } = await start(t, { once: { command: ['true'], maxRestarts: 0 }, thrice: { command: ['false'], restartInterval: 1, maxRestarts: 2 }, never: { command: ['true'], enable: false } })
  while ((await server.processes()).some(({ name, status }) => name !== 'never' && status !== 'ended')) await next(server, 'processError')
  t.deepEqual((await server.processes()).map(({ name, restarts, status }) => [name, status, restarts]), [['once', 'ended', 0], ['thrice', 'ended', 2], ['never', 'ended', 0]])
  await t.throwsAsync(server.process('never').request(1), { code: 'ERR_SLUICE_INVALID_STATE' })
  // New code may do better; one that is disabled, or has done what it was there for, stays as it is.
  const tried = next(server, 'processError', ({ process }) => process.name === 'thrice')
  const after = next(server, 'afterReload')
  t.true((await server.reload({ only: ['processes'] })).ok)
  t.like(await tried, [{ restartIn: 1 }])
  await after
  t.deepEqual((await server.processes()).map(({ name, status }) => [name, name === 'thrice' || status]), [['once', 'ended'], ['thrice', true], ['never', 'ended']])
  const started = next(server, 'processError', ({ process }) => process.name === 'never')
  await server.process('never').restart()
  t.like(await started, [{ reason: 'exit', exitCode: 0 }])
})

serial('a program that is not there, or code that does not load, is told and tried again', async (t) => {
  const folder = await AppFolder.create(t)
  await folder.write('throw new Error("half written")', 'broken.mjs')
  const app = await folder.write(answering('x'), 'other.mjs')
  const errors: [string, string, string | undefined][] = []
  const other = await startServer(t, {
    app,
    root: folder.path('.'),
    workers: 1,
    lifecycle: { processError: ({ process, reason, error }) => void errors.push([process.name, reason, error?.message]) },
    processes: { gone: { command: ['/no/such/program'], maxRestarts: 0 }, plain: { command: [folder.path('broken.mjs')], maxRestarts: 0 }, broken: { file: 'broken.mjs', maxRestarts: 0 }, child: { kind: 'process', file: 'broken.mjs', maxRestarts: 0 } },
  })
  while (errors.length < 4) await next(other, 'processError')
  t.deepEqual(errors.map(([name]) => name).sort(), ['broken', 'child', 'gone', 'plain'])
  t.deepEqual(errors.find(([name]) => name === 'gone'), ['gone', 'start-failed', 'spawn /no/such/program ENOENT'])
  t.deepEqual(errors.find(([name]) => name === 'plain')?.[2], `spawn ${folder.path('broken.mjs')} EACCES`)
  t.is(errors.filter((error) => String(error).includes('start-failed') && String(error).includes('half written')).length, 2, JSON.stringify(errors))
  t.is((await ask(other, '/')).text, 'x')
  await t.throwsAsync(startServer(t, { app, root: folder.path('.'), processes: { absent: { file: 'absent.mjs' } } }), { code: 'ERR_SLUICE_WORKER_START' })
  await t.throwsAsync(startServer(t, { app, processes: { run: { run: () => undefined } } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /processes\.run\.run/ })
})
