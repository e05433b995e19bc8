/** The server is the same in a worker, in a process that is a thread and in a process of its own: every member, and what belongs to it. */
import { readFile } from 'node:fs/promises'
import test, { type ExecutionContext } from 'ava'
import type { Server } from 'sluice'

import { AppFolder, ask, next, portOf, startServer } from '../support/server.ts'
import { SocketClient } from '../support/socket-client.ts'

const { serial } = test
const PLACES = ['worker', 'thread', 'child'] as const
type Place = (typeof PLACES)[number]

/** That no member is forgotten the compiler sees to; the key is its name in the probe. */
const members: Readonly<Record<Exclude<keyof Server, symbol> | 'asyncDispose', true>> = {
  name: true, version: true, worker: true, url: true, ports: true, port: true, tables: true, signal: true, timer: true, tasks: true, cron: true, stats: true, health: true, respond: true,
  postMessage: true, on: true, off: true, reload: true, process: true, processes: true, stopWorker: true, shutdown: true, asyncDispose: true,
  push: true, send: true, sendTo: true, close: true, reset: true, exists: true, isEstablished: true, getConnection: true, connections: true, broadcast: true, publish: true, subscribers: true,
  bindUid: true, sendToUid: true, sendToGroup: true, isUidOnline: true, kick: true,
}

/** What is another in some place, and meant to be. */
const exceptions: Readonly<Record<string, Partial<Record<Place, unknown>>>> = {
  worker: { worker: ['worker', 'busy'], thread: ['process', 'idle'], child: ['process', 'busy'] },
  respond: { child: 'SluiceError ERR_SLUICE_INVALID_STATE' },
}

/** Members that the probe uses in a way, or also in a way, that is refused. */
const refused = ['broadcast', 'cron', 'kick', 'process', 'reload', 'stopWorker', 'Lock', 'Atomic', 'defineCache', 'rateLimit', 'tasks']

async function start(t: ExecutionContext): Promise<Server> {
  const folder = await AppFolder.create(t)
  for (const name of ['server-probe.mjs', 'probe-tasks.mjs']) {
    const source = await readFile(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')
    await folder.write(source.replaceAll("'sluice'", `'${import.meta.resolve('sluice')}'`), name)
  }
  await folder.write(`import { probe } from './server-probe.mjs'
export default ({ onRequest, server, signal }) => {
  onRequest(([which, id]) => probe(server, which, id))
  return new Promise((resolve) => signal.addEventListener('abort', resolve))
}`, 'process.mjs')
  await folder.write(`import { defineCron } from '${import.meta.resolve('sluice')}'
export const job = defineCron({ name: 'job', every: 3_600_000, run() {} })`, 'jobs.mjs')
  const app = await folder.write(`import { server } from '${import.meta.resolve('sluice')}'
import { probe } from './server-probe.mjs'
export * from './probe-tasks.mjs'
export default {
  fetch: async (request, ctx) => {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === '/socket') return ctx.upgrade({ protocol: 'lines' })
    return Response.json(await probe(server, searchParams.get('which'), Number(searchParams.get('id'))))
  },
  websocket: { open: (ws) => { ws.subscribe('news'); ws.join('guests'); ws.send('=' + ws.id) }, message() {} },
  ports: { dgram: { packet() {} } },
}`)
  return startServer(t, {
    app,
    root: folder.path('.'),
    workers: 1,
    stateDir: folder.path('state'),
    tasks: { workers: 1 },
    cron: { files: folder.path('jobs.mjs') },
    tables: { hits: { size: 10, columns: { count: { type: 'int' } } } },
    ports: { dgram: { protocol: 'udp', listen: { host: '127.0.0.1', port: 0 } } },
    processes: { thread: { file: 'process.mjs' }, child: { kind: 'process', file: 'process.mjs' } },
  })
}

async function probe(server: Server, place: Place, which: 'members' | 'others', id: number): Promise<Record<string, unknown>> {
  const result = place === 'worker' ? JSON.parse((await ask(server, `/probe?which=${which}&id=${id}`)).text) : await server.process(place).request([which, id])
  // As it came from the worker: all three by the same way.
  return JSON.parse(JSON.stringify(result)) as Record<string, unknown>
}

for (const which of ['members', 'others'] as const) {
  serial(`${which} of the server do the same in all places`, async (t) => {
    const server = await start(t)
    const socket = await SocketClient.connect(t, portOf(server))
    const id = Number((await socket.next((text) => text.startsWith('='))).slice(1))
    for (const place of ['thread', 'child']) await server.process(place).request(['nothing', 0])
    const results = {} as Record<Place, Record<string, unknown>>
    for (const place of PLACES) results[place] = await probe(server, place, which, id)
    if (which === 'members') t.deepEqual(Object.keys(results.worker).sort(), Object.keys(members).sort())
    for (const [name, expected] of Object.entries(results.worker)) {
      if (!refused.includes(name)) t.notRegex(String(expected), /ERR_|^\w*Error /, name)
      for (const place of PLACES) t.deepEqual(results[place][name], exceptions[name]?.[place] ?? expected, `${name} in ${place}`)
    }
  })
}

serial('without a state directory that is named a process of its own has no memory in common, and is told so', async (t) => {
  const folder = await AppFolder.create(t)
  const sluice = import.meta.resolve('sluice')
  await folder.write(`import { Atomic, AtomicLong, defineTable, server, t } from '${sluice}'
const codeOf = (use) => { try { use(); return 'none' } catch ({ code }) { return code } }
export default ({ onRequest, signal }) => {
  onRequest(() => [() => new Atomic('a'), () => new AtomicLong('b'), () => defineTable('c', { size: 1, columns: { n: t.int() } }), () => server.tables.hits].map(codeOf))
  return new Promise((resolve) => signal.addEventListener('abort', resolve))
}`, 'child.mjs')
  const server = await startServer(t, {
    app: await folder.write('export default { fetch: () => new Response("x") }'),
    root: folder.path('.'),
    workers: 1,
    tables: { hits: { size: 10, columns: { count: { type: 'int' } } } },
    processes: { child: { kind: 'process', file: 'child.mjs' } },
  })
  t.deepEqual(await server.process('child').request(0), Array(4).fill('ERR_SLUICE_INVALID_STATE'))
})

serial('a process of its own has the server until its end, and can end it; its threads have none', async (t) => {
  const folder = await AppFolder.create(t)
  const sluice = import.meta.resolve('sluice')
  await folder.write(`import { server } from '${sluice}'
import { parentPort } from 'node:worker_threads'
try { server.stats() } catch ({ code }) { parentPort.postMessage(code) }`, 'thread.mjs')
  await folder.write(`import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { Lock, server } from '${sluice}'
export default async ({ onRequest, signal }) => {
  const held = await new Lock('held to the end').acquire()
  onRequest(async (what) => {
    if (what === 'thread') return (await once(new Worker(new URL('thread.mjs', import.meta.url)), 'message'))[0]
    await server.shutdown({ timeout: 5_000 })
  })
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  held.release()
}
export const onStop = async () => {
  await new Promise(setImmediate)
  server.postMessage('main', [server.stats().processes, server.health().live, server.publish('news', 'the end'), server.worker.status])
}`, 'child.mjs')
  const server = await startServer(t, { app: await folder.write('export default { fetch: () => new Response("x") }'), root: folder.path('.'), workers: 1, processes: { child: { kind: 'process', file: 'child.mjs' } } })
  t.is(await server.process('child').request('thread'), 'ERR_SLUICE_NOT_RUNNING')
  const said = next(server, 'message')
  const stopped = next(server, 'serverStop')
  await server.process('child').request('end').catch(() => undefined)
  t.deepEqual((await said)[1], [1, true, 0, 'exiting'])
  await stopped
})
