import test from 'ava'
import type { Context } from '../src-ts/context.ts'
import { HttpFlag, AbortReason } from '../src-ts/bridge/record.ts'
import { SluiceResponse as Response } from '../src-ts/http/response.ts'
import type { FakeNative, FakeRequest } from './support/fake-native.ts'
import { startFakeWorker } from './support/fake-worker.ts'

/** What `read` gives in a synchronous handler. */
function inHandler<T>(read: (ctx: Context, req: Request) => T, request: FakeRequest = {}, prepare: (native: FakeNative) => void = () => undefined): T {
  let seen: { value: T } | undefined
  const { native, reports } = startFakeWorker((req, ctx) => {
    seen = { value: read(ctx, req) }
    return new Response() as never
  })
  prepare(native)
  native.request(request)
  native.wake()
  if (seen === undefined) throw reports[0]?.error ?? new Error('The handler was not called')
  return seen.value
}

test('a request id is made once and differs from that of every other request', (t) => {
  const [first, again] = inHandler((ctx) => [ctx.id, ctx.id])
  t.is(first, again)
  t.regex(first!, /^[\w-]{1,64}$/)
  t.not(inHandler((ctx) => ctx.id), first)
})

for (const [id, taken] of [['abc_DEF-123', true], ['x'.repeat(64), true], ['x'.repeat(65), false], ['', false], ['a b', false], ['a;b', false], ['<b>', false], ['caf\xe9', false]] as const) {
  test(`x-request-id ${JSON.stringify(id.slice(0, 12))} of ${id.length} characters is ${taken ? 'taken over' : 'not taken over'}`, (t) => {
    t.is(inHandler((ctx) => ctx.id, { headers: [['x-request-id', id]] }) === id, taken)
  })
}

test('the connection is asked for once, and only when wanted', (t) => {
  let calls: string[] = []
  const conn = inHandler((ctx) => [ctx.conn, ctx.conn, ctx.ip, ctx.port], {}, (native) => (calls = native.calls))
  t.is(conn[0], conn[1])
  t.like(conn[0], { id: 7, port: 'main', remoteAddress: '10.0.0.9', family: 4 })
  t.deepEqual(conn.slice(2), ['10.0.0.9', 40_000])
  t.is(calls.filter((call) => call === 'connectionInfo').length, 1)
  inHandler(() => undefined, {}, (native) => (calls = native.calls))
  t.false(calls.includes('connectionInfo'))
})

test('the connection of a client that has left is empty', (t) => {
  t.like(inHandler((ctx) => ctx.conn, {}, (native) => (native.connection = null)), { id: 0, remoteAddress: '', remotePort: 0 })
})

for (const [family, expected] of [['4', 4], ['6', 6], ['unix', 'unix']] as const) {
  test(`address family ${family}`, (t) => {
    t.is(inHandler((ctx) => ctx.conn.family, {}, (native) => (native.connection = JSON.stringify({ family }))), expected)
  })
}

test('scheme, host and url are what the client asked for', (t) => {
  const read = (ctx: Context): unknown[] => [ctx.scheme, ctx.host, ctx.url.href, ctx.url === ctx.url]
  t.deepEqual(inHandler(read, { target: '/a/../b?c', headers: [['host', 'h.test:81']] }), ['http', 'h.test:81', 'http://h.test:81/b?c', true])
  t.deepEqual(inHandler(read, { target: 'http://abs.test/x', flags: HttpFlag.HTTPS, headers: [['host', 'h.test']] }), ['https', 'abs.test', 'http://abs.test/x', true])
  t.deepEqual(inHandler((ctx) => ctx.host, { target: 'http://abs.test:8080?q', headers: [['host', 'h.test']] }), 'abs.test:8080')
  t.deepEqual(inHandler((ctx) => ctx.host, { headers: [] }), '')
})

test('receivedAt is about now', (t) => {
  const before = Date.now()
  const at = inHandler((ctx) => ctx.receivedAt)
  // The batch's clock is rounded down; wall and monotonic clock may differ a little.
  t.true(at >= before - 50 && at <= Date.now() + 50, `${at - before}`)
})

test('worker and version', (t) => {
  t.deepEqual(inHandler((ctx) => [ctx.worker.id, ctx.version]), [4, 'v9'])
})

test('locals belong to one request and have no inherited members', (t) => {
  const locals = inHandler((ctx) => {
    ctx.locals['a'] = 1
    return ctx.locals
  })
  t.deepEqual({ ...locals }, { a: 1 })
  t.is(Object.getPrototypeOf(locals), null)
  t.deepEqual({ ...inHandler((ctx) => ctx.locals) }, {})
})

/** A handler that waits for its signal and gives the reason. */
async function aborted(lose: (worker: ReturnType<typeof startFakeWorker>) => void, read: (ctx: Context, req: Request) => AbortSignal): Promise<unknown> {
  let reason: unknown
  const worker = startFakeWorker(async (req, ctx) => {
    const signal = read(ctx, req)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    reason = signal.reason
    return new Response() as never
  })
  worker.native.request()
  worker.native.wake()
  lose(worker)
  await worker.runtime.settled()
  return reason
}

test('the signal aborts when the client leaves, and is the same as that of the request', async (t) => {
  const leave = ({ native }: ReturnType<typeof startFakeWorker>): void => {
    native.abort(AbortReason.CLIENT_GONE)
    native.wake()
  }
  t.like(await aborted(leave, (ctx) => ctx.signal), { name: 'AbortError' })
  t.like(await aborted(leave, (_ctx, req) => req.signal), { name: 'AbortError' })
  t.true(inHandler((ctx, req) => ctx.signal === req.signal))
})

test('the signal aborts with a TimeoutError at the deadline of the answer', async (t) => {
  t.like(await aborted(({ native }) => {
    native.abort(AbortReason.ANSWER_DEADLINE)
    native.wake()
  }, (ctx) => ctx.signal), { name: 'TimeoutError' })
})

test('the signal aborts with the reason of the runtime', async (t) => {
  t.is(await aborted(({ runtime }) => runtime.abort('reload'), (ctx) => ctx.signal), 'reload')
})

test('a signal that is asked for after the abort is aborted', async (t) => {
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  const seen: unknown[] = []
  const { native, runtime } = startFakeWorker(async (_req, ctx) => {
    await gate
    seen.push(ctx.signal.aborted, (ctx.signal.reason as Error).name)
    return new Response() as never
  })
  native.request({ index: 1 })
  native.request({ index: 2 })
  native.wake()
  native.abort(AbortReason.CLIENT_GONE, { index: 1 })
  native.wake()
  runtime.abort()
  release()
  await runtime.settled()
  t.deepEqual(seen, [true, 'AbortError', true, 'AbortError'])
})

test('an abort for another generation does not reach the request that has its place', async (t) => {
  let signal: AbortSignal | undefined
  const { native } = startFakeWorker((_req, ctx) => {
    signal = ctx.signal
    return new Promise(() => undefined)
  })
  native.request({ generation: 2 })
  native.wake()
  native.abort(AbortReason.CLIENT_GONE, { generation: 1 })
  native.wake()
  t.false(signal!.aborted)
})

test('idempotent() tells the core of this request, before its answer and behind an await', async (t) => {
  const { native } = startFakeWorker(async (_req, ctx) => {
    await null
    ctx.idempotent()
    return new Response() as never
  })
  native.request({ method: 'POST', index: 5, generation: 9 })
  native.wake()
  await native.until((commands) => commands.length === 2)
  t.like(native.commands[0], { call: 'markIdempotent', lane: 0, index: 5, generation: 9 })
  t.is(native.commands[1]!.call, 'respond')
  // Nobody else flushes what is said outside a batch.
  await new Promise((resolve) => process.nextTick(resolve))
  t.is(native.calls.at(-1), 'flush')
})

test('idempotent() of an answered request does nothing', (t) => {
  let kept: Context | undefined
  const { native, runtime } = startFakeWorker((_req, ctx) => {
    kept = ctx
    return new Response() as never
  })
  native.request()
  native.wake()
  runtime.detach()
  kept!.idempotent()
  t.deepEqual(native.commands.map(({ call }) => call), ['respond'])
})
