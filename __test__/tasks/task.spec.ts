/** Tasks as functions, in one thread on a core that the test plays. */
import { getEventListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { encodeError } from '../../src-ts/tasks/failure.ts'
import { decodePayload, encodePayload } from '../../src-ts/tasks/payload.ts'
import { defineTask } from '../../src-ts/tasks/task.ts'
import { FakeTasks } from '../support/fake-tasks.ts'

let names = 0
const unique = (): string => `t${++names}`

async function listOf(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const list = []
  for await (const value of values) list.push(value)
  return list
}

function thread(t: ExecutionContext, options: ConstructorParameters<typeof FakeTasks>[0] = {}): FakeTasks {
  const tasks = new FakeTasks(options)
  t.teardown(() => tasks.leave())
  return tasks
}

// What runs in a thread is delivered to its latest server: one at a time.
test.serial('deliver() copies the input, run() gives what the handler returns', async (t) => {
  const tasks = thread(t)
  const double = defineTask(unique(), ({ n }: { n: number }) => n * 2)
  const input = { n: 21 }
  const promise = double.run(input)
  input.n = 0
  const ended = tasks.run()!
  t.is(ended.outcome, 0)
  tasks.result(tasks.last.id, 0, ended.bytes)
  t.is(await promise, 42)
  t.like(tasks.last, { worker: 3, key: null, options: [0, 0, 1, 0, 0, 0, 0, 0, -1, 0] })
})

test.serial('what a handler returns at once may be told with what follows; what it returns later, or where nothing follows, may not', async (t) => {
  const tasks = thread(t)
  const now = defineTask(unique(), () => 1)
  const later = defineTask(unique(), async () => 2)
  now.deliver()
  tasks.run()
  later.deliver()
  tasks.run()
  tasks.isHeld = false
  await new Promise(setImmediate)
  now.deliver()
  tasks.run()
  t.deepEqual(tasks.soon, [true, false, false])
})

test.serial('options of a definition hold for each delivery that does not say otherwise', (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {}, { tries: 3, backoff: { type: 'exponential', base: 10, jitter: true }, queue: 'mail', priority: -1, finish() {}, failed() {} })
  task.deliver()
  t.deepEqual(tasks.last.options, [-1, 0, 3, 0, 10, 3_600_000, 1, 1, -1, 3])
  task.deliver(undefined, { delay: 1.5, tries: 1, timeout: 9, backoff: 7, worker: 2, key: 'k', queue: 'default' })
  t.deepEqual(tasks.last.options, [-1, 2, 1, 9, 7, 0, 1, 0, 2, 3])
  t.is(tasks.last.key, 'k')
  task.deliver()
  t.deepEqual(tasks.last.options, [-1, 0, 3, 0, 10, 3_600_000, 1, 1, -1, 3])
})

const wrong = test.macro<[options: object, message: RegExp]>({
  exec: (t, options, message) => {
    thread(t)
    const task = defineTask(unique(), () => {})
    t.throws(() => task.deliver(undefined, options), { code: 'ERR_SLUICE_INVALID_ARG', message })
    if (!('queue' in options)) t.throws(() => defineTask(unique(), () => {}, options), { code: 'ERR_SLUICE_INVALID_ARG' })
  },
  title: (_, options) => `deliver() refuses ${JSON.stringify(options)}`,
})
test.serial(wrong, { delay: -1 }, /^`delay` must be from 0 to 2\^53 - 1, got -1$/)
test.serial(wrong, { delay: '1' }, /^`delay` must be a number of milliseconds, got string$/)
test.serial(wrong, { timeout: Number.NaN }, /^`timeout` must be from 0/)
test.serial(wrong, { tries: 0 }, /^`tries` must be a whole number from 1 to 65535, got 0$/)
test.serial(wrong, { priority: 2 ** 31 }, /^`priority` must be/)
test.serial(wrong, { worker: -1 }, /^`worker` must be/)
test.serial(wrong, { backoff: 'x' }, /^`backoff` must be milliseconds or/)
test.serial(wrong, { backoff: { type: 'exponential', base: -1 } }, /^`backoff.base` must be/)
test.serial(wrong, { key: '' }, /^`key` must have 1 to 255 bytes/)
test.serial(wrong, { queue: 'nope' }, /^There is no queue "nope"/)
test.serial(wrong, { signal: 1 }, /^`signal` must be an AbortSignal/)
test.serial(wrong, { backoff: { type: 'exponential', base: 1, jitter: 'yes' } }, /^`backoff.jitter` must be a boolean, got string$/)
test.serial(wrong, { backoff: { type: 'exponential', base: 1, factor: 3 } }, /^There is no member `factor` of `backoff`$/)
test.serial(wrong, { transfer: [new Uint8Array(1)] }, /^`transfer` must be a list of ArrayBuffers, got object in it$/)
test.serial(wrong, { retries: 1 }, /^There is no option `retries` of tasks$/)

test.serial('deliver() refuses what is an option of a definition, and what are no options', (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {})
  t.throws(() => task.deliver(undefined, { finish() {} } as object), { code: 'ERR_SLUICE_INVALID_ARG', message: '`finish` is an option of the definition of a task' })
  for (const options of [null, 5, 'tries'] as unknown[]) t.throws(() => task.deliver(undefined, options as object), { code: 'ERR_SLUICE_INVALID_ARG', message: /^The options of a task must be an object, got / })
  t.deepEqual(tasks.submitted, [])
})

test.serial('one signal for many tasks cancels each of them, and has no listener when they are over', (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {})
  const controller = new AbortController()
  const { signal } = controller
  const handles = Array.from({ length: 20 }, () => task.deliver(undefined, { signal }))
  t.is(getEventListeners(signal, 'abort').length, 1)
  for (const { id } of handles.slice(0, 10)) tasks.result(Number(id), 0)
  const cancelled: number[] = []
  tasks.cancelTask = (_server?: number, id?: number) => cancelled.push(id!)
  controller.abort()
  t.deepEqual(cancelled, handles.slice(10).map(({ id }) => Number(id)))
  const other = new AbortController()
  const last = task.deliver(undefined, { signal: other.signal })
  tasks.result(Number(last.id), 0)
  t.is(getEventListeners(other.signal, 'abort').length, 0)
})

test.serial('names that are those of cron jobs are refused', (t) => {
  t.throws(() => defineTask('cron:report', () => {}), { code: 'ERR_SLUICE_INVALID_ARG', message: 'Names of tasks that begin with "cron:" are those of cron jobs, got "cron:report"' })
})

test.serial('a delivery that the core refuses throws, and run() rejects', async (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {})
  for (const [refusal, code] of [[-1, 'ERR_SLUICE_TASK_QUEUE_FULL'], [-2, 'ERR_SLUICE_TASK_QUEUE_FULL'], [-3, 'ERR_SLUICE_SHUTTING_DOWN'], [-4, 'ERR_SLUICE_TASK_QUEUE_FULL']] as const) {
    tasks.refusal = refusal
    t.throws(() => task.deliver(), { code })
    await t.throwsAsync(task.run(), { code })
    t.like(await task.runAll([undefined, undefined]), [{ status: 'rejected', reason: { code } }, { status: 'rejected', reason: { code } }])
  }
})

test.serial('where no server runs nothing can be delivered', async (t) => {
  const task = defineTask(unique(), () => {})
  t.throws(() => task.deliver(), { code: 'ERR_SLUICE_NOT_RUNNING' })
  await t.throwsAsync(task.run(), { code: 'ERR_SLUICE_NOT_RUNNING' })
})

test.serial('what the handler threw comes as it was, and says where from', async (t) => {
  const tasks = thread(t)
  const name = unique()
  const task = defineTask(name, () => {
    throw Object.assign(new RangeError('too much', { cause: new Error('below') }), { code: 'MY_CODE' })
  })
  const handle = task.deliver()
  const ended = tasks.run(tasks.last, { attempt: 2, tries: 3 })!
  t.is(ended.outcome, 1)
  t.deepEqual(tasks.reports, [], 'there are tries left')
  tasks.run(tasks.last, { attempt: 3, tries: 3 })
  t.is(tasks.reports.length, 1)
  t.is(handle.status(), 'queued')
  tasks.result(tasks.last.id, 1, ended.bytes, { attempts: 3 })
  t.is(handle.status(), 'failed')
  const error = (await t.throwsAsync(async () => handle, { message: 'too much', code: 'MY_CODE', name: 'RangeError' })) as Error & { task: unknown }
  t.is((error.cause as Error).message, 'below')
  t.deepEqual(error.task, { id: handle.id, name, attempts: 3 })
  t.regex(error.stack!, new RegExp(`task\\.spec\\.ts[^]*\\n    at task "${name}" \\(id ${handle.id}, try 3\\)$`))
})

test.serial('each end that is not well has a code', async (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {})
  const ends = { 2: 'ERR_SLUICE_TASK_UNKNOWN', 3: 'ERR_SLUICE_TASK_TIMEOUT', 4: 'ERR_SLUICE_TASK_LOST', 5: 'ERR_SLUICE_TASK_CANCELLED', 6: 'ERR_SLUICE_SHUTTING_DOWN' } as const
  for (const [end, code] of Object.entries(ends)) {
    const promise = task.run()
    tasks.result(tasks.last.id, Number(end))
    await t.throwsAsync(promise, { code })
  }
  t.is(tasks.reports.length, 1, 'only of a worker that died nobody else could tell')
  t.like(tasks.reports[0], { code: 'ERR_SLUICE_TASK_LOST' })
})

test.serial('an abort of the signal cancels, with its reason as the cause', async (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {})
  const controller = new AbortController()
  const handle = task.deliver(undefined, { signal: controller.signal })
  controller.abort('why')
  tasks.result(tasks.last.id, 5)
  t.is(handle.status(), 'cancelled')
  t.is((await t.throwsAsync(async () => handle, { code: 'ERR_SLUICE_TASK_CANCELLED' }))?.cause, 'why')
  t.false(handle.cancel())
  const before = tasks.submitted.length
  t.is(t.throws(() => task.deliver(undefined, { signal: controller.signal }), { code: 'ERR_SLUICE_TASK_CANCELLED' })?.cause, 'why')
  t.is(tasks.submitted.length, before)
})

test.serial('buffers of `transfer` are detached once the task is delivered', (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), (_bytes: Uint8Array) => {})
  const bytes = Uint8Array.of(1, 2)
  tasks.refusal = -1
  t.throws(() => task.deliver(bytes, { transfer: [bytes.buffer] }))
  t.is(bytes.length, 2)
  tasks.refusal = 0
  task.deliver(bytes, { transfer: [bytes.buffer] })
  t.is(bytes.length, 0)
  t.deepEqual(decodePayload(tasks.last.input), Uint8Array.of(1, 2))
})

test.serial('a buffer that is detached already, or there twice, is refused; one that cannot be detached stays', (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), (_bytes: Uint8Array) => {})
  const bytes = new ArrayBuffer(2)
  t.throws(() => task.deliver(Uint8Array.of(1), { transfer: [bytes, bytes] }), { code: 'ERR_SLUICE_INVALID_ARG', message: '`transfer` has a buffer twice' })
  structuredClone(bytes, { transfer: [bytes] })
  t.throws(() => task.deliver(Uint8Array.of(1), { transfer: [bytes] }), { code: 'ERR_SLUICE_INVALID_ARG', message: '`transfer` has a buffer that is detached already' })
  t.deepEqual(tasks.submitted, [])
  const small = Buffer.from('in a pool')
  task.deliver(small, { transfer: [small.buffer as ArrayBuffer, new ArrayBuffer(0)] })
  t.is(tasks.submitted.length, 1)
  t.is(small.toString(), 'in a pool')
})

test.serial('handles of one key end together', async (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), () => {})
  const handles = [task.deliver(undefined, { key: 'k' }), task.deliver(undefined, { key: 'k' }), task.deliver(undefined, { key: 'k' })]
  t.is(new Set(handles.map(({ id }) => id)).size, 1)
  tasks.result(tasks.last.id, 0, encodePayload('x', ''))
  t.deepEqual(await Promise.all(handles), ['x', 'x', 'x'])
  tasks.result(tasks.last.id, 0)
})

test.serial('progress comes to every reader, from the last value on, and ends with the task', async (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), async (_: undefined, ctx) => {
    ctx.progress(1)
    ctx.progress({ half: true })
    t.throws(() => ctx.progress('x'.repeat(65_536)), { instanceOf: RangeError, code: 'ERR_SLUICE_TASK_PAYLOAD' })
    await undefined
    ctx.progress(3)
  })
  const handle = task.deliver()
  tasks.run()
  const early = listOf(handle.progress)
  while (tasks.ended.length === 0) await undefined
  tasks.result(tasks.last.id, 0)
  t.deepEqual(await early, [{ half: true }, 3])
  t.deepEqual(await listOf(handle.progress), [3])
})

test.serial('a time-out aborts the signal and is told once; what the handler does then is nobody\'s', async (t) => {
  const tasks = thread(t)
  let reason: unknown
  const task = defineTask(unique(), (_: undefined, ctx) => new Promise((_resolve, reject) => ctx.signal.addEventListener('abort', () => reject((reason = ctx.signal.reason)))))
  task.deliver()
  tasks.run()
  const { id } = tasks.last
  t.is(tasks.pending, 1)
  tasks.abort(id + 100, 1)
  t.like(reason, { code: 'ERR_SLUICE_TASK_TIMEOUT' })
  await undefined
  await undefined
  t.is(tasks.pending, 0)
  t.deepEqual(tasks.reports, [reason])
  tasks.abort(id + 100, 1)
  t.is(tasks.reports.length, 1)
})

test.serial('a time-out of a handler that blocked is told when it has ended', (t) => {
  const tasks = thread(t)
  defineTask(unique(), () => {}).deliver()
  const { id } = tasks.last
  tasks.run()
  t.deepEqual(tasks.reports, [])
  tasks.abort(id + 100, 1)
  t.like(tasks.reports[0], { code: 'ERR_SLUICE_TASK_TIMEOUT' })
})

test.serial('a handler that has failed and taken too long is told once', (t) => {
  const tasks = thread(t)
  defineTask(unique(), () => {
    throw new Error('late')
  }).deliver()
  tasks.run()
  tasks.abort(tasks.last.id + 100, 1)
  t.deepEqual(tasks.reports.map((error) => (error as Error).message), ['late'])
})

test.serial('a handler that is cancelled sees why, and its throw is not told', async (t) => {
  const tasks = thread(t)
  const task = defineTask(unique(), async (_: undefined, ctx) => {
    await undefined
    ctx.signal.throwIfAborted()
  })
  task.deliver()
  tasks.run()
  tasks.abort(tasks.last.id + 100, 0)
  while (tasks.pending > 0) await undefined
  t.like(tasks.ended, [{ outcome: 1 }])
  t.deepEqual(tasks.reports, [])
})

test.serial('a result that cannot be cloned is a failure that is not tried again', (t) => {
  const tasks = thread(t)
  defineTask(unique(), () => ({ f: () => 1 })).deliver()
  t.is(tasks.run(tasks.last, { tries: 5 })!.outcome, 2)
  t.like(tasks.reports[0], { code: 'ERR_SLUICE_TASK_PAYLOAD', path: 'result.f' })
})

test.serial('a task that nobody has defined is told, with its name', (t) => {
  const tasks = thread(t)
  t.is(tasks.run({ id: 1, name: 'nobody', input: Buffer.alloc(0) })!.outcome, 2)
  t.like(tasks.reports[0], { code: 'ERR_SLUICE_TASK_UNKNOWN' })
  t.regex((tasks.reports[0] as Error).message, /"nobody"/)
})

test.serial('finish gets result and input, failed the error, also when they lie beside the ring', async (t) => {
  const tasks = thread(t)
  const got: unknown[] = []
  const task = defineTask(unique(), (n: number) => n * 2, { finish: (result, input) => void got.push(result, input), failed: async (error, input) => void got.push((error as Error).message, input) })
  task.deliver(4)
  for (const isParcel of [false, true]) {
    tasks.run(tasks.last, { mode: 1, extra: encodePayload(8, ''), isParcel })
    tasks.run(tasks.last, { mode: 2, end: 1, extra: encodeError(new Error('no')), isParcel })
  }
  t.deepEqual(got, [8, 4, 'no', 4, 8, 4, 'no', 4])
  tasks.run(tasks.last, { mode: 2, end: 3 })
  t.regex(got[8] as string, /took longer than its `timeout`/)
})

test.serial('the context tells task, try and origin, and is hurried when the worker must go', (t) => {
  const tasks = thread(t)
  const seen: unknown[] = []
  const task = defineTask(unique(), (_: undefined, { id, attempt, tries, from, signal }) => void seen.push(id, attempt, tries, from, signal.aborted))
  task.deliver()
  tasks.run(tasks.last, { attempt: 2, tries: 65_535, origin: 5 | (1 << 16) })
  t.deepEqual(seen.splice(0), [String(tasks.last.id), 2, 65_535, { id: 5, kind: 'task' }, false])
  tasks.calls.abort(new Error('going'))
  tasks.run()
  t.deepEqual(seen, [String(tasks.last.id), 1, 1, undefined, true])
})

test.serial('a call that is another worker\'s by now does not run', (t) => {
  const tasks = thread(t)
  defineTask(unique(), () => t.fail()).deliver()
  tasks.gone.add(tasks.last.id + 100)
  t.is(tasks.run(), undefined)
})

test.serial('where no ends are heard a task is delivered, watched and cancelled, but not awaited', async (t) => {
  const tasks = thread(t, { worker: -1 })
  const handle = defineTask(unique(), () => {}).deliver()
  t.is(handle.status(), 'queued')
  await t.throwsAsync(async () => handle, { code: 'ERR_SLUICE_INVALID_STATE' })
  tasks.status = 0
  t.is(handle.status(), 'done')
  tasks.list = { queues: [], failed: [{ id: Number(handle.id) }] }
  t.is(handle.status(), 'failed')
  t.true(handle.cancel())
  t.is(handle.status(), 'cancelled')
  t.deepEqual(await listOf(handle.progress), [])
})

test.serial('a thread that leaves the server ends what it waits for', async (t) => {
  const tasks = thread(t)
  const promise = defineTask(unique(), () => {}).run()
  tasks.client.detach()
  await t.throwsAsync(promise, { code: 'ERR_SLUICE_SHUTTING_DOWN' })
})
