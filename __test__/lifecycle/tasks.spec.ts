/** Tasks and events of a server with worker threads, from the delivery to the end. */
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { Atomic, defineTask, serve, Task, type Config, type Server } from 'sluice'

import { next, startServer } from '../support/server.ts'

// Each test starts several threads; all at once they would only wait for each other's CPU.
const { serial } = test
const app = fileURLToPath(new URL('../fixtures/tasks.mjs', import.meta.url))

/** What a worker tells. */
interface Note {
  readonly what: string
  readonly worker: number
  readonly kind: string
  readonly thread: number
  readonly [more: string]: unknown
}

interface Failure {
  readonly code?: string
  readonly message: string
  readonly name: string
  readonly stack: string
  readonly isError: boolean
  readonly cause?: unknown
  readonly task?: { id: string; name: string; attempts: number }
}

/** A server that runs the fixture, and what its workers tell. */
class Bench {
  readonly server: Server
  readonly notes: Note[] = []
  readonly errors: (Error & { code?: string })[] = []
  #changed = (): void => {}

  static async start(t: ExecutionContext, config: Config = { tasks: {} }): Promise<Bench> {
    return new Bench(await startServer(t, { app, workers: 1, ...config }))
  }

  constructor(server: Server) {
    this.server = server
    server.on('message', (_from, data) => {
      this.notes.push(data as Note)
      this.#changed()
    })
    server.on('error', (error, { phase }) => {
      if (phase === 'task') this.errors.push(error)
      this.#changed()
    })
  }

  /** Lets the app do something, and waits for what it answers. */
  async do(act: string, arg: unknown = null): Promise<unknown> {
    const { error, value } = await this.#ask(act, arg)
    if (error !== undefined) throw new Error(`${act}: ${error.name} ${error.code} ${error.message}`)
    return value
  }

  /** The error that something ends with. */
  async fails(act: string, arg: unknown = null): Promise<Failure> {
    const { error, value } = await this.#ask(act, arg)
    if (error === undefined) throw new Error(`${act} has not failed, but given ${JSON.stringify(value)}`)
    return error
  }

  /** The oldest note of a kind that was not taken, when it is there. */
  async take(what: string): Promise<Note> {
    await this.until(() => this.notes.some((note) => note.what === what), what)
    return this.notes.splice(this.notes.findIndex((note) => note.what === what), 1)[0]!
  }

  /** Waits for what notes and errors bring. */
  async until(isSo: () => boolean, what: string): Promise<void> {
    const end = Date.now() + 20_000
    while (!isSo()) {
      if (Date.now() > end) throw new Error(`waited 20 s for ${what}; there is ${JSON.stringify(this.notes)}, ${this.errors.map(String)}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 50)
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async #ask(act: string, arg: unknown): Promise<{ value?: unknown; error?: Failure }> {
    const response = await fetch(this.server.url, { method: 'POST', body: JSON.stringify({ act, arg }) })
    return (await response.json()) as { value?: unknown; error?: Failure }
  }
}

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

// Since Node.js 22 V8 may abort the whole process before Node can end a thread whose heap is full (README, honest limits).
const canFill = Number(process.versions.node.split('.')[0]) < 22

for (const how of ['exit', 'throw', ...(canFill ? ['oom'] : [])]) {
  serial(`a task worker that dies by "${how}" gives its task back, once for each try`, async (t) => {
    const bench = await Bench.start(t, { tasks: {}, resourceLimits: { maxOldGenerationSizeMb: 48 } })
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
  const gate = new Atomic('gate')
  await bench.do('gate', 'old')
  const { thread } = await bench.take('begun')
  t.true((await bench.server.reload({ only: ['tasks'] })).ok)
  t.not(((await bench.do('who')) as Note).thread, thread)
  t.is(await bench.do('status', 'old'), 'running')
  gate.set(1)
  gate.wake()
  t.is((await bench.take('ended')).thread, thread)
  t.is(await bench.do('wait', 'old'), 'old')
})

serial('finish runs in another worker when the one that delivered is gone', async (t) => {
  const bench = await Bench.start(t)
  const death = next(bench.server, 'workerError')
  const again = next(bench.server, 'workerStart')
  await bench.do('hold', ['blocks', {}])
  await bench.take('begun')
  const gone = next(bench.server, 'workerStart')
  bench.server.postMessage(0, { exit: 1 })
  t.like(await death, [{ worker: { id: 0 } }])
  await Promise.all([again, gone])
  bench.server.postMessage(1, { release: 'blocks' })
  t.like(await bench.take('ended'), { kind: 'task' })
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

serial('task workers that die in the midst of many tasks lose none', async (t) => {
  const bench = await Bench.start(t, { tasks: { workers: 2 }, reload: { rollback: false } })
  let deaths = 0
  bench.server.on('workerError', () => void deaths++)
  t.deepEqual(await bench.do('risky', 150), Array.from({ length: 150 }, (_, number) => number))
  t.true(deaths >= 3, `${deaths} deaths`)
  t.like(bench.server.tasks.list(), { queues: [{ done: 150, failed: 0, waiting: 0, running: 0 }], failed: [] })
})

serial('reloads in the midst of many tasks lose none, and run none twice', async (t) => {
  const bench = await Bench.start(t, { tasks: { workers: 2, concurrency: 4 } })
  const all = bench.do('brief', 5000)
  await bench.take('brief')
  for (let round = 0; round < 2; round++) t.true((await bench.server.reload({ only: ['tasks'] })).ok)
  const numbers = Array.from({ length: 5000 }, (_, number) => number)
  t.deepEqual(await all, numbers)
  await bench.until(() => bench.notes.length === 4999, 'all notes')
  t.is(new Set(bench.notes.map(({ number }) => number)).size, 4999)
  t.true(new Set(bench.notes.map(({ thread }) => thread)).size > 2)
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

serial('the master delivers, but does not wait', async (t) => {
  const bench = await Bench.start(t)
  const task = defineTask('note', (_text: string) => {})
  const handle = task.deliver('from the master')
  await t.throwsAsync(async () => handle, { code: 'ERR_SLUICE_INVALID_STATE' })
  const note = await bench.take('note')
  t.is(note.from, undefined)
  t.like(note, { kind: 'task', input: 'from the master', id: handle.id })
  await bench.until(() => handle.status() === 'done', 'its end')
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
