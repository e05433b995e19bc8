/** Shared timers of a server with worker threads: who runs their calls, and what survives whom. */
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { type Config, defineTask, serve, type Server, type TaskCall } from 'sluice'

import { Workplace } from './cli/command.ts'
import { next, startServer } from './support/server.ts'

const app = fileURLToPath(new URL('fixtures/timers.mjs', import.meta.url))

/** What a task of the fixture tells. */
interface Note {
  readonly what: string
  readonly input: unknown
  readonly worker: number
  readonly thread: number
  readonly [more: string]: unknown
}

/** What the workers tell, to be waited for: a note is taken once. */
class Notes {
  readonly all: Note[] = []
  readonly #waiting = new Set<() => void>()

  constructor(server: Server) {
    server.on('message', (_from, data) => {
      this.all.push(data as Note)
      for (const look of this.#waiting) look()
    })
  }

  /** The oldest note of a kind that was not taken; with `input`, the one about that. */
  take(what: string, input?: unknown): Promise<Note> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited 20 s for ${what} ${String(input)}; there is ${JSON.stringify(this.all)}`)), 20_000)
      const look = (): void => {
        const at = this.all.findIndex((note) => note.what === what && (input === undefined || note.input === input))
        if (at < 0) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve(this.all.splice(at, 1)[0]!)
      }
      this.#waiting.add(look)
      look()
    })
  }
}

const call = (task: string, input?: unknown): TaskCall => ({ task, input })

/** A server that runs the fixture, when all its workers have told that they start. */
async function start(t: ExecutionContext, config: Config = {}): Promise<{ server: Server; notes: Notes }> {
  let notes: Notes | undefined
  const workers = config.workers ?? 1
  const server = await startServer(t, {
    app,
    workers,
    ...config,
    lifecycle: { serverStart: (server) => void (notes = new Notes(server)) },
  })
  for (let count = 0; count < Number(workers); count++) await notes!.take('start')
  return { server, notes: notes! }
}

/** Waits for figures; each look is a turn of the event loop. */
async function until(server: Server, isSo: (stats: ReturnType<Server['stats']>) => boolean): Promise<void> {
  const end = Date.now() + 20_000
  while (!isSo(server.stats())) {
    if (Date.now() > end) throw new Error(`waited 20 s: ${JSON.stringify(server.stats())}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('after() calls a task once, with a copy of its input, in one of several workers', async (t) => {
  const { server, notes } = await start(t, { workers: 2 })
  const input = { text: 'ö', when: new Date(5), map: new Map([[1, new Set(['a'])]]), bytes: new Uint8Array([1, 2]), big: 5n, none: undefined }
  const started = performance.now()
  t.true(server.timer.after('once', 30, call('note', input)))
  const note = await notes.take('note')
  t.true(performance.now() - started >= 30)
  t.deepEqual(note.input, input)
  t.like(note, { attempt: 1, tries: 1 })
  for (let number = 0; number < 20; number++) t.true(server.timer.after(`t${number}`, 1, call('note', number)))
  const ran = await Promise.all(Array.from({ length: 20 }, () => notes.take('note')))
  t.deepEqual(ran.map(({ input }) => input as number).sort((a, b) => a - b), Array.from({ length: 20 }, (_, number) => number))
  t.deepEqual([...new Set(ran.map(({ worker }) => worker))].sort(), [0, 1])
  t.is(new Set(ran.map(({ id }) => id)).size, 20)
  await until(server, ({ tasking }) => tasking === 0)
  t.like(server.stats(), { timers: 1, taskCount: 21, taskQueue: 0, tasksFailed: 0, tasksLost: 0 })
})

test('a call has the options of the task that made it', async (t) => {
  const { server, notes } = await start(t)
  server.postMessage(0, { persist: 'x' })
  for (let attempt = 1; attempt <= 3; attempt++) t.like(await notes.take('try'), { input: 'x', attempt, tries: 3 })
  t.is((await notes.take('finish')).input, 'x')
  await until(server, ({ tasking }) => tasking === 0)
  t.like(server.stats(), { tasksRetried: 2, tasksDone: 1, tasksFailed: 0 })
})

test('a task for a worker that there never is is refused', async (t) => {
  const { server, notes } = await start(t)
  server.postMessage(0, { wrong: true })
  for (const what of ['Timer "wrong" was not set', 'Task "elsewhere" was not delivered']) {
    const { input } = await notes.take('wrong')
    t.like(input, { name: 'RangeError', code: 'ERR_SLUICE_INVALID_ARG' })
    t.regex((input as { message: string }).message, new RegExp(`^${what}`, 'u'))
  }
})

test('a timer that every worker sets is one', async (t) => {
  let notes: Notes | undefined
  const server = await startServer(t, { app, workers: 3, lifecycle: { serverStart: (server) => void (notes = new Notes(server)) } })
  const starts = await Promise.all(Array.from({ length: 3 }, () => notes!.take('start')))
  t.deepEqual(starts.map(({ input }) => input).sort(), [false, false, true])
  t.deepEqual(server.timer.list(), ['each start'])
  t.false(server.timer.after('each start', 1, call('note')))
})

test('every() calls in whole intervals until it is cleared', async (t) => {
  const { server, notes } = await start(t)
  const planned = Date.now() + 5
  t.true(server.timer.every('tick', 5, call('note', 'tick')))
  const first = server.timer.info('tick')!
  t.is(first.interval, 5)
  t.like(server.timer.info('each start'), { interval: 3_600_000, count: 0 })
  // The core follows its start and the monotonic clock.
  t.true(Math.abs(first.next - planned) < 1000)
  for (let count = 0; count < 10; count++) await notes.take('note', 'tick')
  const later = server.timer.info('tick')!
  t.true(later.count >= 10)
  t.is((later.next - first.next) % 5, 0)
  t.true(server.timer.clear('tick'))
  t.false(server.timer.clear('tick'))
  t.is(server.timer.info('tick'), undefined)
  await until(server, ({ tasking, taskQueue }) => tasking + taskQueue === 0)
  const { taskCount } = server.stats()
  t.true(server.timer.after('end', 30, call('note', 'end')))
  await notes.take('note', 'end')
  t.is(server.stats().taskCount, taskCount + 1)
})

test('every thread sees the same timers', async (t) => {
  const { server, notes } = await start(t, { workers: 2 })
  server.timer.clearAll()
  server.postMessage(0, { set: ['of worker 0', 60_000, call('note')] })
  t.true((await notes.take('set')).input)
  t.true(server.timer.has('of worker 0') && !server.timer.has('of worker 1'))
  server.postMessage(1, { set: ['of worker 0', 60_000, call('note')] })
  t.false((await notes.take('set')).input)
  t.true(server.timer.every('of the master', 60_000, call('note')))
  server.postMessage(1, { ask: 'of the master' })
  const { info, input } = await notes.take('list')
  t.deepEqual((input as string[]).sort(), ['of the master', 'of worker 0'])
  t.deepEqual(info, server.timer.info('of the master'))
  t.is(server.timer.clearAll(), 2)
  t.deepEqual(server.timer.list(), [])
  t.is(server.timer.clearAll(), 0)
})

test('the name of a timer is free for its own handler', async (t) => {
  const { server, notes } = await start(t)
  server.timer.after('again', 1, call('again', 0))
  for (let round = 0; round < 4; round++) t.like(await notes.take('again', round), { has: false, isNew: round < 3 })
  t.false(server.timer.has('again'))
})

test('timers survive a reload and call the new code, and the old worker stays for the calls it runs', async (t) => {
  const source = (version: number): string => `
    import { defineTask, server } from 'sluice'
    const tell = (what) => server.postMessage('main', { what, input: ${version} })
    defineTask('version', () => tell('version'))
    defineTask('hold', async () => {
      tell('begun')
      // Some turns after it was told to go.
      await new Promise((resolve) => server.signal.addEventListener('abort', () => setTimeout(resolve, 50)))
      tell('ended')
    })
    export default () => new Response('ok')`
  const place = new Workplace(t, { 'app.mjs': source(1) })
  const server = await startServer(t, { app: place.file('app.mjs'), workers: 1 })
  const notes = new Notes(server)
  server.timer.every('version', 5, call('version'))
  server.timer.after('later', 60_000, call('version'))
  await notes.take('version', 1)
  server.timer.after('hold', 1, call('hold'))
  await notes.take('begun', 1)
  place.write('app.mjs', source(2))
  const gone = next(server, 'afterReload')
  t.like(await server.reload(), { ok: true })
  await notes.take('version', 2)
  t.like(await gone, [{ ok: true }])
  t.true(notes.all.some(({ what, input }) => what === 'ended' && input === 1))
  t.deepEqual(server.timer.list().sort(), ['later', 'version'])
  t.is(server.stats().tasksLost, 0)
})

test('a call that has begun is not begun again when its worker dies; its timer and the others go on', async (t) => {
  const { server, notes } = await start(t)
  const died = next(server, 'workerError')
  server.timer.every('tick', 5, call('note', 'tick'))
  await notes.take('note', 'tick')
  server.timer.every('deadly', 60_000, call('note', 'deadly'))
  server.timer.after('exit', 1, call('exit', 'exit'))
  await notes.take('begun', 'exit')
  const [{ reason }] = await died
  t.is(reason, 'exit')
  const { thread } = await notes.take('start')
  let note = await notes.take('note', 'tick')
  while (note.thread !== thread) note = await notes.take('note', 'tick')
  t.deepEqual(server.timer.list().sort(), ['deadly', 'each start', 'tick'])
  server.timer.clear('tick')
  await until(server, ({ tasking }) => tasking === 0)
  t.is(server.stats().tasksLost, 1)
  t.false(notes.all.some(({ what }) => what === 'begun'))
})

test('calls that wait behind one that hangs go to another worker', async (t) => {
  const { server, notes } = await start(t, { stuckAfter: 500 })
  const died = next(server, 'workerError')
  server.timer.after('block', 1, call('block', 'block'))
  await notes.take('begun', 'block')
  for (const name of ['a', 'b', 'c']) server.timer.after(name, 1, call('note', name))
  const [{ reason, worker }] = await died
  t.is(reason, 'stuck')
  const { thread } = await notes.take('start')
  for (const name of ['a', 'b', 'c']) t.is((await notes.take('note', name)).thread, thread)
  t.not(thread, worker.threadId)
  await until(server, ({ tasking }) => tasking === 0)
  t.like(server.stats(), { tasksLost: 1, taskCount: 4 })
})

test('a tick that comes while the one before it runs is skipped', async (t) => {
  const { server, notes } = await start(t)
  server.timer.every('slow', 2, call('hold', 'slow'))
  await notes.take('begun', 'slow')
  await until(server, ({ ticksSkipped }) => ticksSkipped >= 5)
  t.false(notes.all.some(({ what }) => what === 'begun'))
  server.postMessage(0, { release: 'slow' })
  await notes.take('ended', 'slow')
  await notes.take('begun', 'slow')
  server.timer.clear('slow')
  server.postMessage(0, { release: 'slow' })
})

test('errors of handlers and unknown tasks are told, and the timer goes on', async (t) => {
  const { server } = await start(t)
  for (const [task, message] of [['throw', 'thrown 1'], ['reject', 'rejected 1']] as const) {
    const told = next(server, 'error', (error) => error.message === message)
    server.timer.every(task, 5, call(task, 1))
    const [, source] = await told
    t.deepEqual(source, { phase: 'task', worker: 0, task })
    t.true(server.timer.has(task))
    server.timer.clear(task)
  }
  const told = next(server, 'error', (error) => (error as { code?: string }).code === 'ERR_SLUICE_TASK_UNKNOWN')
  server.timer.after('nobody', 1, call('nobody'))
  const [error] = await told
  t.regex(error.message, /"nobody"/)
  await until(server, ({ tasking }) => tasking === 0)
  const { tasksFailed, tasksUnknown } = server.stats()
  t.true(tasksFailed >= 2)
  t.is(tasksUnknown, 1)
})

test('what cannot be set is refused, with a code', async (t) => {
  const { server } = await start(t, { timers: { max: 3 } })
  const { timer } = server
  const refused = (run: () => unknown, instanceOf: typeof TypeError | typeof RangeError, code: string): unknown => t.throws(run, { instanceOf, code })
  const any = (value: unknown): never => value as never
  refused(() => timer.after('', 1, call('note')), RangeError, 'ERR_SLUICE_INVALID_ARG')
  refused(() => timer.after('ö'.repeat(128), 1, call('note')), RangeError, 'ERR_SLUICE_INVALID_ARG')
  refused(() => timer.after(any(5), 1, call('note')), TypeError, 'ERR_SLUICE_INVALID_ARG')
  refused(() => timer.after('a', any('1'), call('note')), TypeError, 'ERR_SLUICE_INVALID_ARG')
  for (const ms of [0, -1, NaN, Infinity, 2 ** 53]) refused(() => timer.every('a', ms, call('note')), RangeError, 'ERR_SLUICE_INVALID_ARG')
  refused(() => timer.after('a', 1, any(undefined)), TypeError, 'ERR_SLUICE_INVALID_ARG')
  refused(() => timer.after('a', 1, any({})), TypeError, 'ERR_SLUICE_INVALID_ARG')
  refused(() => timer.after('a', 1, call('note', 'x'.repeat(65_536))), RangeError, 'ERR_SLUICE_TASK_PAYLOAD')
  const error = t.throws(() => timer.after('a', 1, call('note', { user: [1, new Map([['run', () => 1]])] })), { instanceOf: TypeError, code: 'ERR_SLUICE_TASK_PAYLOAD' })
  t.is((error as unknown as { path: string }).path, 'input.user[1].get(run)')
  t.is(error?.message, 'The input of task "note" cannot be cloned: `input.user[1].get(run)` is a function')
  t.false(timer.has('a'))
  t.true(timer.after('a', 60_000, call('note', 'x'.repeat(65_000))))
  t.true(timer.after('ö'.repeat(127), Number.MAX_SAFE_INTEGER, call('note')))
  refused(() => timer.after('b', 60_000, call('note')), RangeError, 'ERR_SLUICE_TIMERS_FULL')
  timer.clear('a')
  t.true(timer.after('b', 60_000, call('note')))
})

test('a call that runs at a shutdown is waited for, and hurried when the time is up', async (t) => {
  const { server, notes } = await start(t)
  server.timer.after('hold', 1, call('hold', 'it'))
  await notes.take('begun', 'it')
  server.timer.every('tick', 1, call('note', 'tick'))
  await notes.take('note', 'tick')
  await server.shutdown({ timeout: 1000 })
  t.is((await notes.take('aborted', 'it')).worker, 0)
  await notes.take('ended', 'it')
})

test('a server without worker threads runs its timers itself', async (t) => {
  const ran: unknown[] = []
  let done: (() => void) | undefined
  const finished = new Promise<void>((resolve) => (done = resolve))
  const task = defineTask('inline', (input: number, { id }) => {
    ran.push([input, typeof id])
    if (ran.length === 3) done?.()
  })
  t.throws(() => defineTask('inline', () => undefined), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.throws(() => defineTask('no function', undefined as never), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG' })
  t.deepEqual(task.call(5), { task: 'inline', input: 5 })
  const server = await serve({ port: 0, stateDir: false, fetch: () => new Response('ok') })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  t.true(server.timer.every('inline', 2, task.call(7)))
  await finished
  t.deepEqual(ran.slice(0, 3), [[7, 'string'], [7, 'string'], [7, 'string']])
})
