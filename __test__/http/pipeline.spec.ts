import test from 'ava'
import { AbortReason } from '../../src-ts/bridge/record.ts'
import { SluiceResponse as Response } from '../../src-ts/http/response.ts'
import type { App } from '../../src-ts/app.ts'
import { startFakeWorker } from '../support/fake-worker.ts'
import { streamOf } from '../support/streams.ts'

const answer = (text = 'ok'): never => new Response(text) as never

test('a synchronous handler answers inside the drain and leaves nothing in flight', (t) => {
  const { native, runtime } = startFakeWorker(() => answer())
  native.request()
  native.wake()
  t.deepEqual(native.calls.slice(-2), ['respond', 'flush'])
  t.is(runtime.inflight(), 0)
})

test('an asynchronous handler is in flight until its answer is sent', async (t) => {
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  const { native, runtime } = startFakeWorker(async () => {
    await gate
    return answer()
  })
  native.request()
  native.wake()
  t.is(runtime.inflight(), 1)
  let settled = false
  const done = runtime.settled().then(() => (settled = true))
  await new Promise(setImmediate)
  t.false(settled)
  release()
  await done
  t.is(runtime.inflight(), 0)
  t.is(native.commands.length, 1)
  await new Promise(setImmediate)
  t.is(native.calls.at(-1), 'flush')
})

class Later {
  // oxlint-disable-next-line no-thenable -- a promise of another library is what is tested
  then(resolve: (value: unknown) => void): void {
    resolve(answer('later'))
  }
}

test('a thenable that is no promise is awaited', async (t) => {
  const { native, runtime } = startFakeWorker((() => new Later()) as never)
  native.request()
  native.wake()
  await runtime.settled()
  t.is(native.commands[0]!.body, 'later')
})

test('fetch is called as a method of its app', (t) => {
  class Site {
    readonly text = 'mine'
    fetch(): never {
      return answer(this.text)
    }
  }
  const { native } = startFakeWorker(new Site())
  native.request()
  native.wake()
  t.is(native.commands[0]!.body, 'mine')
})

for (const [how, fetch] of [
  ['throws', () => { throw new Error('secret') }],
  ['rejects', async () => { throw new Error('secret') }],
] as const) {
  test(`a handler that ${how} is answered with 500 and reported, and the next request is served`, async (t) => {
    let calls = 0
    const { native, runtime, reports } = startFakeWorker(() => (calls++ === 0 ? (fetch() as never) : answer()))
    native.request({ index: 1, target: '/bad' })
    native.request({ index: 2 })
    native.wake()
    await runtime.settled()
    t.is(native.of(1)[0]!.status, 500)
    t.false(JSON.stringify(native.of(1)).includes('secret'))
    t.is(native.of(2)[0]!.status, 200)
    t.is(reports.length, 1)
    t.like(reports[0], { phase: 'fetch', request: { method: 'GET', url: 'http://example.test/bad' } })
    t.true(String(native.of(1)[0]!.body).includes(reports[0]!.request!.id))
  })
}

const accepts: [accept: string | undefined, template: number, body: RegExp][] = [
  [undefined, 1, /^Internal Server Error\nRequest /],
  ['*/*', 1, /^Internal/],
  ['application/json', 2, /^\{"error":\{"status":500,"message":"Internal Server Error","requestId":"[\w-]+"\}\}$/],
  ['application/problem+json', 2, /^\{/],
  ['text/html,application/xhtml+xml,*/*;q=0.8', 3, /^<!doctype html>/],
  ['application/json;q=0, text/html', 3, /^<!doctype/],
  ['text/plain, text/html', 1, /^Internal/],
]
for (const [accept, template, body] of accepts) {
  test(`an error is answered for Accept: ${accept ?? '(none)'}`, (t) => {
    const { native } = startFakeWorker(() => { throw new Error('x') })
    native.request({ headers: accept === undefined ? [] : [['accept', accept]] })
    native.wake()
    t.like(native.commands[0], { status: 500, template })
    t.regex(String(native.commands[0]!.body), body)
  })
}

for (const result of [undefined, null, 'text', 42, {}, { status: 200 }]) {
  test(`${JSON.stringify(result) ?? 'undefined'} in place of a response is answered with 500 and a report that says so`, async (t) => {
    const { native, runtime, reports } = startFakeWorker((async () => result) as never)
    native.request()
    native.wake()
    await runtime.settled()
    t.is(native.commands[0]!.status, 500)
    t.like(reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
    t.regex((reports[0]!.error as Error).message, /`fetch` must give a Response, got /)
  })
}

test('an app without fetch answers 404', (t) => {
  const { native, reports } = startFakeWorker({ error: () => answer() })
  native.request()
  native.wake()
  t.is(native.commands[0]!.status, 404)
  t.deepEqual(reports, [])
})

test("the app's error handler answers, with error, request and context, and nothing is reported", async (t) => {
  const failure = new Error('mine')
  let seen: unknown[] = []
  const { native, runtime, reports } = startFakeWorker({
    fetch: () => { throw failure },
    error: (error, req, ctx) => {
      seen = [error, req.url, typeof ctx.id]
      return new Response('sorry', { status: 418 }) as never
    },
  })
  native.request({ target: '/x' })
  native.wake()
  await runtime.settled()
  t.like(native.commands[0], { status: 418, body: 'sorry' })
  t.deepEqual(seen, [failure, 'http://example.test/x', 'string'])
  t.deepEqual(reports, [])
})

for (const [what, error] of [
  ['throws', () => { throw new Error('second') }],
  ['rejects', async () => { throw new Error('second') }],
  ['gives no response', () => undefined],
] as const) {
  test(`an error handler that ${what} leaves a 500, and both errors reported`, async (t) => {
    const { native, runtime, reports } = startFakeWorker({ fetch: () => { throw new Error('first') }, error: error as never })
    native.request()
    native.wake()
    await runtime.settled()
    t.is(native.commands.length, 1)
    t.is(native.commands[0]!.status, 500)
    t.deepEqual(reports.map(({ phase }) => phase), ['error', 'fetch'])
  })
}

test('an error handler may answer with a stream', async (t) => {
  const { native, runtime } = startFakeWorker({ fetch: () => { throw new Error('x') }, error: () => new Response(streamOf(Buffer.from('s')), { status: 503 }) as never })
  native.request()
  native.wake()
  await runtime.settled()
  t.deepEqual(native.commands.map(({ call }) => call), ['respondHead', 'respondChunk', 'respondEnd'])
})

test('an error after the client left is reported and not answered; the abort itself is not even reported', async (t) => {
  for (const [make, reported] of [
    [(signal: AbortSignal): unknown => signal.reason, 0],
    [(signal: AbortSignal): unknown => new Error('wrapped', { cause: signal.reason }), 0],
    [(): unknown => new Error('other'), 1],
  ] as const) {
    const { native, runtime, reports } = startFakeWorker((req) => new Promise((_resolve, reject) => req.signal.addEventListener('abort', () => reject(make(req.signal)))))
    native.request()
    native.wake()
    native.abort(AbortReason.CLIENT_GONE)
    native.wake()
    await runtime.settled()
    t.deepEqual(native.commands, [])
    t.is(reports.length, reported)
  }
})

// ── the order of a request ──

function noting(order: string[], more: Partial<App> = {}): App {
  return {
    fetch: (_req, ctx) => {
      order.push('fetch')
      ctx.after(() => void order.push('after 1'))
      ctx.after(async () => {
        await null
        order.push('after 2')
      })
      return answer()
    },
    hooks: {
      requestReceived: () => void order.push('app received'),
      responseGenerated: () => void order.push('app generated'),
    },
    ...more,
  }
}

test('requestReceived, fetch, responseGenerated, send, after, cleaners, in this order', async (t) => {
  const order: string[] = []
  const { native, runtime, reports } = startFakeWorker(noting(order), {
    hooks: {
      requestReceived: async () => void order.push('config received'),
      responseGenerated: async () => void order.push('config generated'),
    },
    cleaners: [() => void order.push('clean 1'), async () => void order.push('clean 2')],
  })
  const { respond } = native
  native.respond = (...args) => {
    order.push('send')
    return respond.apply(native, args)
  }
  native.request()
  native.wake()
  await runtime.settled()
  t.deepEqual(reports, [])
  t.deepEqual(order, ['config received', 'app received', 'fetch', 'app generated', 'config generated', 'send', 'after 1', 'after 2', 'clean 1', 'clean 2'])
})

test('what runs after the answer runs after the flush that sends it off', async (t) => {
  const { native, runtime } = startFakeWorker((_req, ctx) => {
    ctx.after(() => void native.calls.push('after'))
    return answer()
  })
  native.request()
  native.wake()
  await runtime.settled()
  t.deepEqual(native.calls.slice(-3), ['respond', 'flush', 'after'])
})

test('a response of requestReceived is the answer; fetch is not called, responseGenerated is', async (t) => {
  const order: string[] = []
  const { native, runtime } = startFakeWorker({
    fetch: () => {
      order.push('fetch')
      return answer()
    },
    hooks: {
      requestReceived: () => new Response('no', { status: 403 }) as never,
      responseGenerated: (_req, res) => {
        order.push(`generated ${res.status}`)
        res.headers.set('x-seen', '1')
      },
    },
  })
  native.request()
  native.wake()
  await runtime.settled()
  t.deepEqual(order, ['generated 403'])
  t.like(native.commands[0], { status: 403, headers: 'x-seen: 1\r\n' })
})

test('a request of requestReceived takes the place of the received one, a response of responseGenerated that of the answer', async (t) => {
  const { native, runtime, reports } = startFakeWorker({
    fetch: (req) => answer(req.url),
    hooks: {
      requestReceived: () => new Request('http://other.test/'),
      responseGenerated: async (req, res) => answer(`${req.url} ${await (res as unknown as Response).text()}`),
    },
  })
  native.request()
  native.wake()
  await runtime.settled()
  t.deepEqual(reports, [])
  t.is(native.commands[0]!.body, 'http://other.test/ http://other.test/')
})

for (const phase of ['requestReceived', 'responseGenerated'] as const) {
  test(`a ${phase} hook that throws is answered with 500 and reported as such`, async (t) => {
    const { native, runtime, reports } = startFakeWorker({ fetch: () => answer(), hooks: { [phase]: () => { throw new Error('hook') } } })
    native.request()
    native.wake()
    await runtime.settled()
    t.is(native.commands[0]!.status, 500)
    t.deepEqual(reports.map((report) => report.phase), [phase])
  })
}

test('hooks alone make an app: it answers 404 otherwise', async (t) => {
  const { native, runtime } = startFakeWorker({ hooks: { requestReceived: () => undefined } })
  native.request()
  native.wake()
  await runtime.settled()
  t.is(native.commands[0]!.status, 404)
})

test('after functions and cleaners run after an error, too, and an error in one does not stop the others', async (t) => {
  const order: string[] = []
  const { native, runtime, reports } = startFakeWorker(
    (_req, ctx) => {
      ctx.after(() => { throw new Error('after') })
      ctx.after(() => void order.push('after'))
      throw new Error('fetch')
    },
    { cleaners: [() => { throw new Error('cleaner') }, (ctx) => void order.push(ctx.url.pathname)] },
  )
  native.request({ target: '/p' })
  native.wake()
  await runtime.settled()
  t.deepEqual(order, ['after', '/p'])
  t.deepEqual(reports.map(({ phase }) => phase), ['fetch', 'after', 'cleaner'])
})

test('waitUntil keeps the worker from being settled, and reports a rejection', async (t) => {
  let release: (error: Error) => void = () => undefined
  const work = new Promise<void>((_resolve, reject) => (release = reject))
  const { native, runtime, reports } = startFakeWorker((_req, ctx) => {
    ctx.waitUntil(work)
    return answer()
  })
  native.request({ target: '/w' })
  native.wake()
  t.is(native.commands.length, 1)
  let settled = false
  const done = runtime.settled().then(() => (settled = true))
  await new Promise(setImmediate)
  t.false(settled)
  release(new Error('late'))
  await done
  t.like(reports[0], { phase: 'waitUntil', request: { url: 'http://example.test/w' } })
})

test('settled() of an idle worker resolves', async (t) => {
  await t.notThrowsAsync(startFakeWorker(() => answer()).runtime.settled())
})

test('after detach() an answer goes nowhere and no record is run', async (t) => {
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  let calls = 0
  const { native, runtime } = startFakeWorker(async () => {
    calls++
    await gate
    return answer()
  })
  native.request()
  native.wake()
  runtime.detach()
  runtime.detach()
  t.is(native.calls.filter((call) => call === 'detachWorker').length, 1)
  native.request({ index: 1 })
  native.wakeAnyway()
  release()
  await runtime.settled()
  t.is(calls, 1)
  t.deepEqual(native.commands, [])
})

test('after() and waitUntil() keep head and body readable, sync or not', async (t) => {
  const seen: unknown[] = []
  const { native, runtime, reports } = startFakeWorker((req, ctx) => {
    const read = async (): Promise<void> => void seen.push([req.method, req.url, req.headers.get('x-a'), ctx.host, ctx.id, await req.text()])
    if (req.url.endsWith('after')) ctx.after(read)
    else ctx.waitUntil(new Promise((resolve) => setImmediate(resolve)).then(read))
    return new Response()
  })
  const request = { method: 'POST', headers: [['host', 'h.test'], ['x-a', '1'], ['x-request-id', 'id-1']], body: 'abc' } as const
  native.request({ ...request, target: '/after', index: 0 })
  native.request({ ...request, target: '/until', index: 1 })
  native.wake()
  native.scribble()
  await runtime.settled()
  t.deepEqual(reports, [])
  t.deepEqual(seen.map(String).toSorted(), ['after', 'until'].map((path) => `POST,http://h.test/${path},1,h.test,id-1,abc`))
})

for (const call of ['after', 'waitUntil'] as const) {
  test(`${call}() behind a synchronous answer still runs, is waited for and reports`, async (t) => {
    const { native, runtime, reports } = startFakeWorker((_req, ctx) => {
      setImmediate(() => (call === 'after' ? ctx.after(() => { throw new Error('late') }) : ctx.waitUntil(Promise.reject(new Error('late')))))
      return new Response()
    })
    native.request({ index: 3 })
    native.wake()
    await new Promise((resolve) => setImmediate(resolve))
    // Its place is another's by now; the late call must not take it.
    t.is(runtime.inflight(), 0)
    await runtime.settled()
    t.is(reports.length, 1)
    t.like(reports[0], { phase: call, error: { message: 'late' } })
    t.regex(reports[0]!.request!.id, /^[\w-]{8,64}$/)
  })
}
