import test from 'ava'

import { AppFolder, ask, next, startServer } from '../support/server.ts'

// Each test starts several threads; all at once they would only wait for each other's CPU.
const { serial } = test

/** Answers with `text`, and in a worker of any kind does what it is told. */
const app = (text: string): string => `
import { server } from '${import.meta.resolve('sluice')}'
server.on('workerStop', () => server.postMessage('main', 'stopped ' + server.worker.name))
server.on('message', (from, data) => {
  if (data === 'who') server.postMessage('main', { ...server.worker, text: '${text}' })
  if (data === 'exit') process.exit(3)
  if (data === 'throw') setTimeout(() => { throw new Error('outside') })
  if (data === 'reload tasks') void server.reload({ only: ['tasks'] }).then((result) => server.postMessage('main', { reloaded: result.ok }))
  if (data === 'heap') globalThis.kept = Array.from({ length: 1e9 }, () => [Math.random()])
})
export default { fetch: () => new Response('${text}') }
`

/** What worker `id` says of itself. */
async function who(server: Awaited<ReturnType<typeof startServer>>, id: number): Promise<{ kind: string; name: string; text: string; threadId: number }> {
  const answer = next(server, 'message', (from, data) => from === id && typeof data === 'object')
  server.postMessage(id, 'who')
  const [, data] = await answer
  return data as { kind: string; name: string; text: string; threadId: number }
}

serial('task workers are threads of their own, which no request comes to', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(app('one')), workers: 1, tasks: { workers: 2 } })
  t.deepEqual(
    server.health().workers.map(({ id, kind, name }) => [id, kind, name]),
    [[0, 'worker', 'sluice-w0'], [1, 'task', 'sluice-t0'], [2, 'task', 'sluice-t1']],
  )
  t.like(server.stats(), { workers: 1, idleWorkers: 1, taskWorkers: 2, idleTaskWorkers: 2 })
  for (let count = 0; count < 20; count += 1) t.is((await ask(server, '/')).text, 'one')
  t.deepEqual(server.stats().perWorker.map(({ kind, requests }) => [kind, requests]), [['worker', 20], ['task', 0], ['task', 0]])
  t.like(await who(server, 2), { id: 2, kind: 'task', name: 'sluice-t1', status: 'idle' })
})

serial('without `tasks` there are none; a start tells the kind of each worker', async (t) => {
  const folder = await AppFolder.create(t)
  const plain = await startServer(t, { app: await folder.write(app('one')), workers: 1 })
  t.like(plain.stats(), { workers: 1, taskWorkers: 0 })
  t.deepEqual(await plain.reload({ only: ['tasks'] }), { ok: true, rolledBack: false })
})

// Since Node.js 22 V8 may abort the whole process before Node can end a thread whose heap is full (README, honest limits).
const canFill = Number(process.versions.node.split('.')[0]) < 22

for (const [how, reason, exitCode] of [['exit', 'exit', 3], ['throw', 'throw', 1], ...(canFill ? [['heap', 'oom', 1] as const] : [])] as const) {
  serial(`a task worker that dies by "${how}" is replaced, and nobody else`, async (t) => {
    const folder = await AppFolder.create(t)
    const server = await startServer(t, { app: await folder.write(app('one')), workers: 1, tasks: {}, resourceLimits: { maxOldGenerationSizeMb: 48 } })
    const before = await Promise.all([0, 1].map((id) => who(server, id)))
    const death = next(server, 'workerError')
    const again = next(server, 'workerStart')
    server.postMessage(1, how)
    t.like(await death, [{ reason, exitCode, worker: { id: 1, kind: 'task', name: 'sluice-t0' } }])
    t.like(await again, [{ id: 1, kind: 'task', reason: 'crash' }])
    t.is((await who(server, 0)).threadId, before[0]!.threadId)
    t.not((await who(server, 1)).threadId, before[1]!.threadId)
    t.like(server.stats(), { workers: 1, taskWorkers: 1, crashes: 1 })
  })
}

serial('a reload of tasks alone replaces the task workers; one of everything all together', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(app('one')), workers: 1, tasks: {} })
  await folder.write(app('two'))
  const told = next(server, 'beforeReload')
  t.deepEqual(await server.reload({ only: ['tasks'] }), { ok: true, rolledBack: false })
  t.deepEqual(await told, [{ version: undefined, only: ['tasks'] }])
  t.deepEqual([(await who(server, 0)).text, (await who(server, 1)).text], ['one', 'two'])
  t.is((await ask(server, '/')).text, 'one')
  await folder.write(app('three'))
  t.true((await server.reload()).ok)
  t.deepEqual([(await ask(server, '/')).text, (await who(server, 1)).text], ['three', 'three'])
  await folder.write(app('four'))
  const reloaded = next(server, 'message', (_from, data) => typeof data === 'object' && data !== null && 'reloaded' in data)
  server.postMessage(0, 'reload tasks')
  t.deepEqual(await reloaded, [0, { reloaded: true }])
  t.deepEqual([(await ask(server, '/')).text, (await who(server, 1)).text], ['three', 'four'])
  await t.throwsAsync(server.reload({ only: ['task' as 'tasks'] }), { code: 'ERR_SLUICE_INVALID_ARG' })
})

serial('a reload fails for all when the new code does not start in a task worker', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(app('one')), workers: 2, tasks: {} })
  await folder.write(`${app('two')}\nif (server.worker.kind === 'task') throw new Error('no database for tasks')`)
  const { ok, error } = await server.reload()
  t.false(ok)
  t.regex(error?.message ?? '', /^Task worker 2 did not start: no database for tasks/)
  t.deepEqual([(await ask(server, '/')).text, (await who(server, 2)).text], ['one', 'one'])
  t.is(server.stats().reloads, 0)
})

serial('task workers are replaced after `maxTasks`, and finish the tasks in their hands', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, {
    app: await folder.write(`
import { defineTask, server } from '${import.meta.resolve('sluice')}'
defineTask('slow', async () => { await new Promise((resolve) => setTimeout(resolve, 20)); server.postMessage('main', server.worker.threadId) })
export default { fetch: () => new Response('') }
`),
    workers: 1,
    tasks: { workers: 1, concurrency: 4, maxTasks: 8 },
  })
  const threads: unknown[] = []
  server.on('message', (_from, thread) => void threads.push(thread))
  const recycled = next(server, 'workerStart', ({ reason }) => reason === 'recycle')
  for (let count = 0; count < 40; count += 1) server.timer.after(`slow ${count}`, 1, { task: 'slow', input: count })
  t.like(await recycled, [{ id: 1, kind: 'task', reason: 'recycle' }])
  while (threads.length < 40) await next(server, 'message')
  server.timer.after('another', 1, { task: 'slow', input: 0 })
  while (threads.length < 41) await next(server, 'message')
  t.is(new Set(threads.slice(0, 8)).size, 1)
  t.not(threads[0], threads[40], 'the new worker has the last one')
  t.like(server.stats(), { tasksLost: 0, taskWorkers: 1, crashes: 0, taskCount: 41 })
  t.true(server.stats().perWorker[1]!.tasks >= 1)
})

serial('stopWorker() replaces a task worker gracefully, whichever has the id', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(app('one')), workers: 1, tasks: {} })
  const stopped = next(server, 'message', (_from, data) => data === 'stopped sluice-t0')
  const left = next(server, 'workerStop')
  await server.stopWorker(1)
  await stopped
  t.like(await left, [{ id: 1, kind: 'task' }])
  t.like(server.stats(), { taskWorkers: 1, crashes: 0 })
  await t.throwsAsync(server.stopWorker(2), { code: 'ERR_SLUICE_INVALID_ARG', message: /0 to 1/ })
})

serial('a shutdown ends task workers after those that answer', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(app('one')), workers: 2, tasks: { workers: 1 } })
  const order: string[] = []
  server.on('workerStop', ({ kind }) => void order.push(kind))
  const start = performance.now()
  await server.shutdown()
  t.deepEqual(order, ['worker', 'worker', 'task'])
  t.true(performance.now() - start < 5_000, 'nobody waited for `maxWaitTime`')
})

/** An app with tasks: `slow` takes 300 ms, `loop` as many as it is told, and says so. */
const busy = (text: string): string => `
import { defineTask, server } from '${import.meta.resolve('sluice')}'
const say = (data) => server.postMessage('main', data)
defineTask('slow', async () => { say('slow began'); await new Promise((resolve) => setTimeout(resolve, 300)); say('slow ${text}') })
defineTask('quick', (input) => say(input + ' ${text}'))
defineTask('loop', (ms) => { say('loop began'); const end = performance.now() + ms; while (performance.now() < end); say('loop ended') })
defineTask('hang', () => { say('hang began'); for (;;); })
export default { fetch: () => new Response('${text}') }
`

serial('a reload and a shutdown let task workers finish what they have in hand', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(busy('one')), workers: 1, tasks: {} })
  const said: unknown[] = []
  server.on('message', (_from, data) => void said.push(data))
  for (const reload of [true, false]) {
    const began = next(server, 'message', (_from, data) => data === 'slow began')
    server.timer.after('slow', 1, { task: 'slow', input: 0 })
    await began
    if (!reload) break
    await folder.write(busy('two'))
    const after = next(server, 'afterReload')
    t.true((await server.reload()).ok)
    await after
    t.deepEqual(said.splice(0), ['slow began', 'slow one'])
  }
  await server.shutdown()
  t.deepEqual(said, ['slow began', 'slow two'])
  t.like(server.stats(), { tasksLost: 0, tasksFailed: 0, crashes: 0 })
})

serial('a task worker that computes is no stuck worker; one that never ends is ended when it has to go', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(busy('one')), workers: 1, tasks: {}, stuckAfter: 200, maxWaitTime: 300 })
  const ended = next(server, 'message', (_from, data) => data === 'loop ended')
  const waited = next(server, 'message', (_from, data) => data === 'waits one')
  server.timer.after('loop', 1, { task: 'loop', input: 1_500 })
  await next(server, 'message', (_from, data) => data === 'loop began')
  server.timer.after('waits', 1, { task: 'quick', input: 'waits' })
  t.is((await ask(server, '/')).text, 'one', 'nobody else notices')
  await ended
  await waited
  t.is(server.stats().crashes, 0)
  const hangs = next(server, 'message', (_from, data) => data === 'hang began')
  server.timer.after('hang', 1, { task: 'hang', input: 0 })
  await hangs
  const died = next(server, 'workerError')
  t.true((await server.reload({ only: ['tasks'] })).ok)
  t.like(await died, [{ reason: 'stuck', worker: { kind: 'task', id: 1 } }])
  const quick = next(server, 'message', (_from, data) => data === 'again one')
  server.timer.after('again', 1, { task: 'quick', input: 'again' })
  await quick
  const again = next(server, 'message', (_from, data) => data === 'hang began')
  server.timer.after('hang', 1, { task: 'hang', input: 0 })
  await again
  const begin = performance.now()
  await server.shutdown()
  t.true(performance.now() - begin < 6_000)
})

serial('a request that awaits a task is answered over a shutdown, and over reloads of the task workers', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, {
    app: await folder.write(`
import { defineTask, server } from '${import.meta.resolve('sluice')}'
const slow = defineTask('slow', async (ms) => { server.postMessage('main', 'began'); await new Promise((resolve) => setTimeout(resolve, ms)); return 'done by ' + server.worker.kind })
export default { fetch: async (request) => new Response(await slow.run(Number(new URL(request.url).searchParams.get('ms')))) }
`),
    workers: 1,
    tasks: { workers: 2 },
  })
  const load = Array.from({ length: 4 }, async () => {
    const answers = new Set<string>()
    for (let count = 0; count < 25; count += 1) answers.add((await ask(server, '/?ms=10')).text)
    return answers
  })
  for (let round = 0; round < 3; round += 1) t.true((await server.reload({ only: ['tasks'] })).ok)
  t.deepEqual(new Set((await Promise.all(load)).flatMap((answers) => [...answers])), new Set(['done by task']))
  const began = next(server, 'message')
  const answer = ask(server, '/?ms=300')
  await began
  await server.shutdown()
  t.like(await answer, { status: 200, text: 'done by task' })
  t.like(server.stats(), { tasksLost: 0, tasksFailed: 0, crashes: 0 })
})

serial('a queue with workers of its own has them for itself, over crashes and reloads', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, {
    app: await folder.write(`
import { defineTask, server } from '${import.meta.resolve('sluice')}'
const who = defineTask('who', () => server.worker.id)
const die = defineTask('die', () => process.exit(1), { queue: 'own' })
export default { fetch: async (request) => {
  const queue = new URL(request.url).searchParams.get('queue')
  return new Response(await (queue === 'die' ? die.run().catch(({ code }) => code) : who.run(undefined, { queue })))
} }
`),
    workers: 1,
    tasks: { workers: 1, queues: { shared: {}, own: { workers: 1 } } },
  })
  const ids = async (): Promise<string[]> => Promise.all(['default', 'shared', 'own'].map(async (queue) => (await ask(server, `/?queue=${queue}`)).text))
  t.deepEqual(await ids(), ['1', '1', '2'])
  const died = next(server, 'workerError')
  t.is((await ask(server, '/?queue=die')).text, 'ERR_SLUICE_TASK_LOST')
  t.like(await died, [{ worker: { id: 2, kind: 'task', name: 'sluice-t1' } }])
  t.deepEqual(await ids(), ['1', '1', '2'])
  t.true((await server.reload()).ok)
  t.deepEqual(await ids(), ['1', '1', '2'])
})
