/** Every limit at its value, where all is well, and one past it, where the reactor refuses and counts. */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import type { RawResponse } from '../support/raw-client.ts'
import { post, request, testServed, type Served } from './served.ts'

interface Refused {
  readonly status: number
  /** Its counter in `stats().rejected`. */
  readonly counter: string
}

/** Sends, and returns the answer after checking that it is this refusal, that it is counted and that the connection ends. */
async function refused(t: ExecutionContext, served: Served, bytes: string, { status, counter }: Refused): Promise<RawResponse> {
  const before = rejected(served, counter)
  const client = await served.connect(t)
  client.send(bytes)
  const response = await client.response()
  t.is(response.status, status)
  t.is(response.headers.get('connection'), 'close')
  t.is((await client.ended()).rest.length, 0)
  t.is(rejected(served, counter), before + 1, `stats().rejected.${counter}`)
  return response
}

function rejected(served: Served, counter: string): number {
  const counters: Readonly<Record<string, number>> = { ...served.server.stats().rejected }
  const count = counters[counter]
  if (count === undefined) throw new Error(`stats().rejected has no ${counter}`)
  return count
}

async function answered(t: ExecutionContext, served: Served, bytes: string): Promise<void> {
  const client = await served.connect(t)
  client.send(bytes)
  t.is((await client.response()).status, 200)
}

/** A request whose head is exactly this long. */
function headOf(bytes: number): string {
  return request('GET /', [`X: ${'x'.repeat(bytes - request('GET /', ['X: ']).length)}`])
}

/** So many field lines, the Host that `request` adds included. */
function fieldLines(count: number): string[] {
  return Array.from({ length: count - 1 }, (_, i) => `X-${i}: ${i}`)
}

function targetOf(length: number): string {
  return `/?${'x'.repeat(length - 2)}`
}

function chunkedPost(size: number): string {
  return request('POST /echo', ['Transfer-Encoding: chunked'], `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n0\r\n\r\n`)
}

const headerBytes = 2_048
testServed('limits.headerBytes: a head of that size is taken, one byte more is 431', async (t, served) => {
  await answered(t, served, headOf(headerBytes))
  await refused(t, served, headOf(headerBytes + 1), { status: 431, counter: 'headerBytes' })
}, { isAlone: true, limits: { headerBytes } })

testServed('limits.headerBytes: 431 does not wait for the end of the head', async (t, served) => {
  await refused(t, served, headOf(headerBytes + 3).slice(0, -2), { status: 431, counter: 'headerBytes' })
}, { isAlone: true, limits: { headerBytes } })

const headerFields = 10
testServed('limits.headerFields: so many are taken, one more is 431', async (t, served) => {
  await answered(t, served, request('GET /', fieldLines(headerFields)))
  await refused(t, served, request('GET /', fieldLines(headerFields + 1)), { status: 431, counter: 'headerBytes' })
}, { isAlone: true, limits: { headerFields } })

const targetBytes = 256
testServed('limits.targetBytes: a target of that length is taken, one byte more is 414', async (t, served) => {
  await answered(t, served, request(`GET ${targetOf(targetBytes)}`))
  await refused(t, served, request(`GET ${targetOf(targetBytes + 1)}`), { status: 414, counter: 'targetBytes' })
}, { isAlone: true, limits: { targetBytes } })

testServed('limits.targetBytes: 414 does not wait for the end of the line', async (t, served) => {
  await refused(t, served, `GET /${'x'.repeat(targetBytes * 2)}`, { status: 414, counter: 'targetBytes' })
}, { isAlone: true, limits: { targetBytes } })

/** Below and above the sizes at which a body changes its way to the worker. */
for (const bodyBytes of [1_000, 300_000]) {
  testServed(`limits.bodyBytes ${bodyBytes}: a body of that size is taken`, async (t, served) => {
    await answered(t, served, post('/echo', 'x'.repeat(bodyBytes)))
    await answered(t, served, chunkedPost(bodyBytes))
  }, { isAlone: true, limits: { bodyBytes } })

  testServed(`limits.bodyBytes ${bodyBytes}: one byte more is 413`, async (t, served) => {
    for (const bytes of [post('/echo', 'x'.repeat(bodyBytes + 1)), chunkedPost(bodyBytes + 1)]) {
      const client = await served.connect(t)
      client.send(bytes)
      t.is((await client.response('POST')).status, 413)
    }
  }, { isAlone: true, limits: { bodyBytes } })

  testServed(`limits.bodyBytes ${bodyBytes}: does not bind a handler that streams`, async (t, served) => {
    const client = await served.connect(t)
    client.send(post('/echo-stream', 'x'.repeat(bodyBytes + 1)))
    t.is((await client.response('POST')).body.length, bodyBytes + 1)
  }, { isAlone: true, limits: { bodyBytes } })
}

testServed('limits.headerTimeout: an unfinished head is 408 then', async (t, served) => {
  const from = performance.now()
  await refused(t, served, request('GET /').slice(0, -2), { status: 408, counter: 'headerTimeout' })
  t.true(performance.now() - from >= 290)
}, { isAlone: true, limits: { headerTimeout: 300 } })

testServed('limits.headerTimeout: more bytes do not win more time', async (t, served) => {
  const client = await served.connect(t)
  client.send('GET / HTTP/1.1\r\nHost: test\r\n')
  const drip = setInterval(() => client.send('X: 1\r\n'), 20)
  t.teardown(() => clearInterval(drip))
  t.is((await client.response()).status, 408)
}, { isAlone: true, limits: { headerTimeout: 300 } })

testServed('limits.keepAliveTimeout: an idle connection is closed without a word', async (t, served) => {
  const before = rejected(served, 'keepAliveTimeout')
  const client = await served.connect(t)
  const from = performance.now()
  client.send(request('GET /'))
  await client.response()
  t.deepEqual(await client.ended(), { rest: Buffer.alloc(0), wasReset: false })
  t.true(performance.now() - from >= 290)
  t.true(rejected(served, 'keepAliveTimeout') > before)
}, { isAlone: true, limits: { keepAliveTimeout: 300 } })

testServed('limits.keepAliveTimeout: does not end a connection that waits for its answer', async (t, served) => {
  const client = await served.connect(t)
  const idle = await served.connect(t)
  const key = randomUUID()
  client.send(request(`GET /wait/${key}/late`))
  await served.get(t, `/entered/${key}`)
  idle.send(request('GET /'))
  await idle.response()
  // When this one has been closed for idling, the time of the other has passed too.
  await idle.ended()
  await served.get(t, `/release/${key}`)
  t.is((await client.response()).text, 'late')
}, { isAlone: true, limits: { keepAliveTimeout: 300 } })

for (const [path, size] of [
  ['/echo', 1_000],
  ['/echo', 1_000_000],
  ['/echo-stream', 1_000_000],
] as const) {
  testServed(`limits.bodyMinRate: a body of ${size} bytes that stops coming is 408 (${path})`, async (t, served) => {
    const client = await served.connect(t)
    const before = rejected(served, 'bodyMinRate')
    client.send(post(path, 'x'.repeat(size)).slice(0, 200))
    if (path === '/echo') {
      t.is((await client.response('POST')).status, 408)
      t.is((await client.ended()).rest.length, 0)
    } else {
      // Its answer may have begun; then it is cut, and must not look whole.
      const { rest } = await client.ended()
      t.notRegex(rest.toString('latin1'), /\r\n0\r\n\r\n$/)
    }
    t.is(rejected(served, 'bodyMinRate'), before + 1)
  }, { isAlone: true, limits: { bodyMinRate: 1_000, bodyGrace: 300 } })
}

testServed('limits.answerTimeout: no answer by then is 504, ctx.signal aborts, and a late answer goes nowhere', async (t, served) => {
  const before = rejected(served, 'answerTimeout')
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(request(`GET /never/${key}`))
  const response = await client.response()
  t.is(response.status, 504)
  t.is(await served.get(t, `/aborted/${key}`), 'aborted')
  t.is(rejected(served, 'answerTimeout'), before + 1)
  if (response.headers.get('connection') === 'close') {
    t.is((await client.ended()).rest.length, 0)
  } else {
    client.send(request('GET /'))
    t.is((await client.response()).text, 'hello')
  }
}, { isAlone: true, limits: { answerTimeout: 300 } })

const concurrency = 2
testServed('limits.concurrency: so many requests are in flight, one more is 503', async (t, served) => {
  const before = rejected(served, 'concurrency')
  const clients = [await served.connect(t), await served.connect(t)]
  const keys = clients.map(() => randomUUID())
  for (const [i, client] of clients.entries()) client.send(request(`GET /never/${keys[i]}`))
  const third = await served.connect(t)
  // Three sockets that have news at once may be read in any order: the third asks when the other two are in.
  while (served.server.stats().concurrency < concurrency) await setImmediate()
  third.send(request('GET /'))
  const response = await third.response()
  t.is(response.status, 503)
  t.is(response.headers.get('retry-after'), '0')
  t.is(rejected(served, 'concurrency'), before + 1)
  // The two that were within the limit are still answered, now that their signal tells them to.
  for (const client of clients) client.halfClose()
  for (const client of clients) t.is((await client.response()).text, 'too late')
}, { isAlone: true, limits: { concurrency } })

testServed('limits.queueTimeout: a request that no worker takes is 503', async (t, served) => {
  const before = rejected(served, 'queueTimeout')
  const busy = await served.connect(t)
  busy.send(request(`GET /never/${randomUUID()}`))
  const waiting = await served.connect(t)
  waiting.send(request('GET /'))
  const response = await waiting.response()
  t.is(response.status, 503)
  t.is(response.headers.get('retry-after'), '0')
  t.is(rejected(served, 'queueTimeout'), before + 1)
}, { isAlone: true, limits: { workerConcurrency: 1, queueTimeout: 300 } })

testServed('limits.workerConcurrency: the next request waits until the worker has room', async (t, served) => {
  const busy = await served.connect(t)
  busy.send(request(`GET /never/${randomUUID()}`))
  const waiting = await served.connect(t)
  waiting.send(request('GET /'))
  busy.halfClose()
  t.is((await busy.response()).text, 'too late')
  t.is((await waiting.response()).text, 'hello')
}, { isAlone: true, limits: { workerConcurrency: 1 } })

testServed('limits.connections: so many are open, one more waits until another ends', async (t, served) => {
  const first = await served.connect(t)
  const second = await served.connect(t)
  for (const client of [first, second]) {
    client.send(request('GET /'))
    t.is((await client.response()).text, 'hello')
  }
  const third = await served.connect(t)
  third.send(request('GET /'))
  for (let i = 0; i < 20; i++) {
    first.send(request('GET /'))
    await first.response()
  }
  t.is(third.received, 0)
  second.destroy()
  t.is((await third.response()).text, 'hello')
}, { isAlone: true, limits: { connections: 2 } })

testServed('limits.pipeline: more requests than that in one packet are all answered', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /').repeat(20))
  for (let i = 0; i < 20; i++) t.is((await client.response()).text, 'hello')
}, { isAlone: true, limits: { pipeline: 3 } })
