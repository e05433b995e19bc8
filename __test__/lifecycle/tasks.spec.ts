/** Tasks and events of a server with worker threads, from the delivery to the end. */
import test from 'ava'
import { Atomic, defineTask, serve, Task } from 'sluice'

import { Workplace } from '../cli/command.ts'
import { answering, next, startServer } from '../support/server.ts'
import { type Note, TaskBench as Bench } from '../support/task-bench.ts'

// Each test starts several threads; all at once they would only wait for each other's CPU.
const { serial } = test

serial('a handler awaits a task, which runs in a task worker and knows who has delivered it', async (t) => {
  const bench = await Bench.start(t)
  t.like(await bench.do('who'), { kind: 'task', worker: 1, from: { id: 0, kind: 'worker' } })
  t.deepEqual(await bench.do('echo', { text: 'ö', list: [1, null] }), { text: 'ö', list: [1, null] })
  t.is(await bench.do('echo'), null)
  for (const bytes of [0, 16_000, 17_000, 300_000, 15_000_000]) t.true(await bench.do('large', bytes), `${bytes} bytes`)
  t.is((await bench.fails('large', 16 * 2 ** 20)).code, 'ERR_SLUICE_TASK_PAYLOAD')
})

serial('without task workers the ordinary ones run them, in inline servers, too', async (t) => {
  const bench = await Bench.start(t, {})
  t.like(await bench.do('who'), { kind: 'worker', worker: 0 })
})

serial('a thousand tasks that nobody awaits all run, once', async (t) => {
  const bench = await Bench.start(t, { tasks: { workers: 2 } })
  await bench.do('many', 1000)
  await bench.until(() => bench.notes.length >= 1000, 'all of them')
  t.deepEqual(bench.notes.map(({ input }) => input as number).sort((a, b) => a - b), Array.from({ length: 1000 }, (_, number) => number))
  t.deepEqual([...new Set(bench.notes.map(({ kind }) => kind))], ['task'])
  t.is(new Set(bench.notes.map(({ id }) => id)).size, 1000)
  t.is(bench.server.tasks.list().queues[0]?.done, 1000)
})

serial('a task is tried again after its back-off, as often as it may be', async (t) => {
  const bench = await Bench.start(t)
  t.is(await bench.do('flaky', [3, { tries: 3, backoff: { type: 'exponential', base: 20 } }]), 3)
  const tries = [await bench.take('try'), await bench.take('try'), await bench.take('try')]
  t.deepEqual(tries.map(({ attempt, tries }) => [attempt, tries]), [[1, 3], [2, 3], [3, 3]])
  const [first, second, third] = tries.map(({ at }) => at as number) as [number, number, number]
  t.true(second - first >= 19, `${second - first}`)
  t.true(third - second >= 39, `${third - second}`)
  t.deepEqual(bench.errors, [])
})

serial('after the last try the error reaches who waits as it was, and the `error` event once', async (t) => {
  const bench = await Bench.start(t)
  const error = await bench.fails('flaky', [9, { tries: 2 }])
  t.like(error, { code: 'FLAKY', message: 'try 2', name: 'TypeError', cause: 'below', isError: true, task: { name: 'flaky', attempts: 2 } })
  t.regex(error.stack, /fixtures\/tasks\.mjs[^]*\n    at task "flaky" \(id \d+, try 2\)$/)
  await bench.until(() => bench.errors.length > 0, 'the error')
  t.deepEqual(bench.errors.map(({ message }) => message), ['try 2'])
  t.deepEqual(await bench.do('runAll', [1, 2]), [['fulfilled', 1], ['rejected', 'try 1']])
})

serial('failed tasks are kept, and can be tried again or forgotten', async (t) => {
  const bench = await Bench.start(t)
  const error = await bench.fails('flaky', [9, { tries: 2 }])
  const { tasks } = bench.server
  const [failed, ...more] = tasks.list().failed
  t.deepEqual(more, [])
  t.like(failed, { id: error.task!.id, name: 'flaky', queue: 'default', attempts: 2 })
  t.like(failed!.error, { message: 'try 2', code: 'FLAKY' })
  t.true(Math.abs(failed!.failedAt.getTime() - Date.now()) < 20_000)
  bench.notes.length = 0
  t.true(tasks.retry(failed!.id))
  t.is((await bench.take('try')).attempt, 1)
  await bench.until(() => tasks.list().failed.length > 0, 'the second failure')
  t.true(tasks.forget(failed!.id))
  t.deepEqual(tasks.list().failed, [])
  t.false(tasks.forget('999'))
  t.throws(() => tasks.retry('x'), { code: 'ERR_SLUICE_INVALID_ARG' })
})

serial('finish runs in the worker that delivered, failed where tasks run', async (t) => {
  const bench = await Bench.start(t)
  t.is(await bench.do('after', false), 'result')
  t.like(await bench.take('finish'), { kind: 'worker', worker: 0, result: 'result', input: { fails: false } })
  t.is((await bench.fails('after', true)).message, 'it failed')
  t.like(await bench.take('failed'), { kind: 'task', message: 'it failed', input: { fails: true } })
})

serial('a try that takes too long has failed, and its handler is told', async (t) => {
  const bench = await Bench.start(t)
  await bench.do('hold', ['slow', { timeout: 30, tries: 2 }])
  t.like(await bench.take('aborted'), { code: 'ERR_SLUICE_TASK_TIMEOUT' })
  t.is((await bench.take('begun')).attempt, 1)
  t.is((await bench.take('begun')).attempt, 2)
  t.like(await bench.fails('wait', 'slow'), { code: 'ERR_SLUICE_TASK_TIMEOUT', name: 'SluiceError' })
  await bench.until(() => bench.errors.length > 0, 'the error')
  t.is((await bench.fails('block', [200, { timeout: 20 }])).code, 'ERR_SLUICE_TASK_TIMEOUT')
  await bench.until(() => bench.errors.length > 1, 'the other error')
  t.deepEqual(bench.errors.map(({ code }) => code), ['ERR_SLUICE_TASK_TIMEOUT', 'ERR_SLUICE_TASK_TIMEOUT'])
})

serial('tasks are cancelled: one that waits does not begin, one that runs is told', async (t) => {
  const bench = await Bench.start(t)
  await bench.do('hold', ['later', { delay: 60_000 }])
  t.is(await bench.do('status', 'later'), 'delayed')
  t.true(await bench.do('cancel', 'later'))
  t.is((await bench.fails('wait', 'later')).code, 'ERR_SLUICE_TASK_CANCELLED')
  t.is(await bench.do('status', 'later'), 'cancelled')
  t.false(await bench.do('cancel', 'later'))
  await bench.do('hold', ['running'])
  await bench.take('begun')
  t.is(await bench.do('status', 'running'), 'running')
  t.true(await bench.do('cancel', 'running'))
  t.like(await bench.take('aborted'), { input: 'running', code: 'ERR_SLUICE_TASK_CANCELLED' })
  t.is((await bench.fails('wait', 'running')).code, 'ERR_SLUICE_TASK_CANCELLED')
  t.like(await bench.fails('abort', ['signalled', 'no time']), { code: 'ERR_SLUICE_TASK_CANCELLED', cause: 'no time' })
  t.deepEqual(bench.errors, [])
})

serial('progress reaches who has delivered the task, until it ends', async (t) => {
  const bench = await Bench.start(t)
  t.deepEqual(await bench.do('steps', 20), { seen: Array.from({ length: 20 }, (_, step) => step + 1), value: 'done' })
})

serial('the higher priority goes first, and tasks of one key are one', async (t) => {
  const bench = await Bench.start(t, { tasks: { concurrency: 1 } })
  await bench.do('hold', ['first'])
  await bench.take('begun')
  for (const [input, priority] of [['a', 0], ['b', 5], ['c', 5], ['d', -5]]) await bench.do('note', [input, { priority }])
  const ids = [await bench.do('note', ['once', { key: 'k' }]), await bench.do('note', ['twice', { key: 'k' }])]
  t.is(ids[0], ids[1])
  bench.server.postMessage(1, { release: 'first' })
  await bench.until(() => bench.notes.filter(({ what }) => what === 'note').length === 5, 'five notes')
  t.deepEqual(bench.notes.filter(({ what }) => what === 'note').map(({ input }) => input), ['b', 'c', 'a', 'once', 'd'])
  t.is(await bench.do('wait', 'first'), 'first')
})

serial('a queue has its own workers and its own rate', async (t) => {
  const bench = await Bench.start(t, { tasks: { queues: { mail: { workers: 1, rate: { limit: 2, per: 300 } } } } })
  for (let number = 0; number < 4; number++) await bench.do('mail', [number, {}])
  const mails = [await bench.take('mail'), await bench.take('mail'), await bench.take('mail'), await bench.take('mail')]
  t.deepEqual(mails.map(({ input, worker }) => [input, worker]), [[0, 2], [1, 2], [2, 2], [3, 2]])
  const at = mails.map(({ at }) => at as number) as [number, number, number, number]
  t.true(at[3] - at[0] >= 140, 'a token comes back every 150 ms, two are there')
  await bench.until(() => bench.server.tasks.list().queues[1]?.done === 4, 'the end of the last one')
  t.like(bench.server.tasks.list().queues, [{ name: 'default', done: 0 }, { name: 'mail', waiting: 0, running: 0 }])
  t.like(await bench.do('who', { worker: 1 }), { worker: 1 })
})

serial('tasks deliver tasks, and publish', async (t) => {
  const bench = await Bench.start(t, { tasks: { concurrency: 1, workers: 2 } })
  t.is(await bench.do('outer', 20), 41)
  t.like((await bench.take('inner')).from, { kind: 'task' })
  t.is(await bench.do('publish', 'topic'), 0)
})

for (const how of ['exit', 'throw']) {
  serial(`a task worker that dies by "${how}" gives its task back, once for each try`, async (t) => {
    const bench = await Bench.start(t)
    t.is(await bench.do('die', [how, { tries: 2 }]), 'lived')
    t.deepEqual([(await bench.take('dying')).attempt, (await bench.take('dying')).attempt], [1, 2])
    t.deepEqual(bench.errors, [])
    t.is((await bench.fails('die', [how])).code, 'ERR_SLUICE_TASK_LOST')
    await bench.until(() => bench.errors.length > 0, 'the error')
    t.deepEqual(bench.errors.map(({ code }) => code), ['ERR_SLUICE_TASK_LOST'])
  })
}

serial('a reload of the task workers waits for the tasks in their hands', async (t) => {
  const bench = await Bench.start(t)
  const gate = new Atomic('gate of a reload')
  await bench.do('gate', 'gate of a reload')
  const { thread } = await bench.take('begun')
  t.true((await bench.server.reload({ only: ['tasks'] })).ok)
  t.not(((await bench.do('who')) as Note).thread, thread)
  t.is(await bench.do('status', 'gate of a reload'), 'running')
  gate.set(1)
  gate.wake()
  t.is((await bench.take('ended')).thread, thread)
  t.is(await bench.do('wait', 'gate of a reload'), 'gate of a reload')
})

serial('finish runs in another worker when the one that delivered is gone', async (t) => {
  const bench = await Bench.start(t)
  const gate = new Atomic('gate that outlives')
  await bench.do('gate', 'gate that outlives')
  await bench.take('begun')
  const [before] = bench.server.health().workers
  const again = next(bench.server, 'workerStart', ({ kind }) => kind === 'worker')
  bench.server.postMessage(0, { exit: 1 })
  await again
  gate.set(1)
  gate.wake()
  const finish = await bench.take('gate finish')
  t.like(finish, { kind: 'worker', worker: 0, result: 'gate that outlives' })
  t.not(finish.thread, before!.threadId)
})

serial('classes: the fields come back to finish, in the worker that delivered', async (t) => {
  const bench = await Bench.start(t)
  t.is(await bench.do('mailTask', 'ada'), 'sent to ada')
  t.like(await bench.take('mail finish'), { kind: 'worker', worker: 0, result: 'sent to ada', log: ['task'], isMail: true })
})

serial('events: listeners in order in one task worker, with their own tries', async (t) => {
  const bench = await Bench.start(t)
  t.is(await bench.do('event', 7), undefined)
  await bench.until(() => bench.notes.length === 4 && bench.errors.length === 1, 'all of them')
  t.deepEqual(bench.notes.map(({ what, kind }) => [what, kind]), [['receipt', 'task'], ['failing', 'task'], ['failing', 'task'], ['shipping', 'task']])
  t.deepEqual(bench.errors.map(({ message }) => message), ['listener try 2'])
})

serial('a full queue refuses', async (t) => {
  const bench = await Bench.start(t, { tasks: { max: 2 } })
  await bench.do('hold', ['one'])
  await bench.do('hold', ['two'])
  t.is((await bench.fails('hold', ['three'])).code, 'ERR_SLUICE_TASK_QUEUE_FULL')
  for (const release of ['one', 'two']) bench.server.postMessage(1, { release })
  t.is(await bench.do('wait', 'two'), 'two')
})

serial('a failure that nobody waits for is told, and harms nobody', async (t) => {
  const bench = await Bench.start(t)
  await bench.do('unloved')
  await bench.until(() => bench.errors.length === 2, 'two errors')
  const [{ threadId } = { threadId: -1 }] = bench.server.health().workers
  t.like(await bench.do('who'), { from: { id: 0 } })
  t.is(bench.server.health().workers[0]?.threadId, threadId)
  t.is(bench.server.stats().crashes, 0)
})

serial('a class that no module exports is refused where it is delivered', async (t) => {
  const bench = await Bench.start(t)
  t.like(await bench.fails('unknown'), { code: 'ERR_SLUICE_TASK_UNKNOWN', name: 'SluiceError' })
})

serial('the master delivers and awaits, and hears of progress', async (t) => {
  const bench = await Bench.start(t)
  const note = defineTask('note', (_text: string) => {})
  const echo = defineTask('echo', (input: unknown) => input)
  const steps = defineTask('steps', (_count: number) => 'done')
  const handle = note.deliver('from the master')
  await handle
  const noted = await bench.take('note')
  t.is(noted.from, undefined)
  t.like(noted, { kind: 'task', input: 'from the master', id: handle.id })
  t.is(handle.status(), 'done')
  const large = 'x'.repeat(1_000_000)
  t.is(await echo.run(large), large)
  const slow = steps.deliver(3)
  let last: unknown
  for await (const step of slow.progress) last = step
  t.deepEqual(last, { step: 3 })
  t.is(await slow, 'done')
  await t.throwsAsync(defineTask('nobody knows it', () => {}).run(), { code: 'ERR_SLUICE_TASK_UNKNOWN' })
})

serial('finish of what the master has delivered runs in a worker that serves, and keeps no shutdown waiting', async (t) => {
  const bench = await Bench.start(t)
  const withAfter = defineTask('with after', (_input: { fails: boolean }) => 'result', { finish() {}, failed() {} })
  t.is(await withAfter.run({ fails: false }), 'result')
  t.like(await bench.take('finish'), { kind: 'worker', worker: 0, result: 'result', input: { fails: false } })
  await t.throwsAsync(withAfter.run({ fails: true }), { message: 'it failed' })
  t.like(await bench.take('failed'), { kind: 'task', message: 'it failed' })
  await bench.until(() => bench.server.stats().tasking === 0, 'the end of both')
})

serial('a module of `tasks.files` that cannot be used is named', async (t) => {
  const place = new Workplace(t, { 'app.mjs': answering('x'), 'tasks/good.mjs': '', 'tasks/torn.mjs': 'export class {', 'tasks/twin.mjs': "import { Task } from 'sluice'; class A extends Task {}; export const one = A; export const two = (() => class A extends Task {})()" })
  for (const [file, message] of [['torn', "Unexpected token '{'"], ['twin', 'There is a task "A" already'], ['none', 'Cannot find module']] as const) {
    const error = await t.throwsAsync(startServer(t, { app: place.file('app.mjs'), root: place.path, workers: 1, tasks: { files: ['tasks/good.mjs', `tasks/${file}.mjs`] } }), { code: 'ERR_SLUICE_WORKER_START' })
    t.true(error.message.includes(`Cannot load ${place.file(`tasks/${file}.mjs`)}: ${message}`), error.message)
  }
})

serial('a shutdown finishes what runs, and leaves what is delayed', async (t) => {
  const bench = await Bench.start(t)
  await bench.do('hold', ['runs'])
  await bench.take('begun')
  await bench.do('hold', ['later', { delay: 60_000 }])
  const stopped = bench.server.shutdown({ timeout: 10_000 })
  bench.server.postMessage(1, { release: 'runs' })
  t.like(await bench.take('ended'), { input: 'runs' })
  await stopped
  t.false(bench.notes.some(({ what }) => what === 'begun'))
})

serial('an inline server has no workers but itself, whatever its configuration says', async (t) => {
  const path = new Workplace(t, {}).file('tasks.log')
  const echo = defineTask('inline echo', (text: string) => text)
  const server = await serve({ port: 0, stateDir: false, fetch: () => new Response('x'), tasks: { workers: 2, queues: { own: { workers: 1 } }, durable: { path } } })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  const handle = echo.deliver('default')
  await handle.stored
  t.is(await handle, 'default')
  t.is(await echo.run('own', { queue: 'own' }), 'own')
})

serial('an inline server runs tasks and classes itself', async (t) => {
  class Double extends Task<number> {
    readonly n: number
    constructor(n: number) {
      super()
      this.n = n
    }
    handle(): number {
      return this.n * 2
    }
  }
  const add = defineTask('inline add', ([a, b]: [number, number]) => a + b)
  const server = await serve({ port: 0, stateDir: false, fetch: async () => Response.json([await add.run([1, 2]), await Task.deliver(new Double(4))]) })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  t.is(await (await fetch(server.url)).text(), '[3,8]')
  const handle = add.deliver([1, 1], { delay: 60_000 })
  await server.shutdown()
  await t.throwsAsync(async () => handle, { code: 'ERR_SLUICE_SHUTTING_DOWN' })
})
