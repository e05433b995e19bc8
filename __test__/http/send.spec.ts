import { Readable } from 'node:stream'
import test from 'ava'
import { AbortReason } from '../../src-ts/bridge/record.ts'
import { nativeClasses } from '../../src-ts/http/native-classes.ts'
import { SluiceResponse as Response } from '../../src-ts/http/response.ts'
import type { Command, FakeRequest } from '../support/fake-native.ts'
import { startFakeWorker } from '../support/fake-worker.ts'
import { streamOf } from '../support/streams.ts'

const { Response: NativeResponse } = nativeClasses()

const KIB = 1024
const WINDOW = 256 * KIB
const CLOSE = 2
const HAS_DATE = 4
const HAS_SERVER = 8

/** The commands that answer one request with what `make` gives. */
async function answering(make: () => unknown, request: FakeRequest = {}) {
  const worker = startFakeWorker(() => make() as never)
  worker.native.request(request)
  worker.native.wake()
  await worker.runtime.settled()
  return { ...worker, commands: worker.native.commands }
}

test('text goes up in one call, its type as template 1', async (t) => {
  const { commands } = await answering(() => new Response('hello'))
  t.is(commands.length, 1)
  t.deepEqual(commands[0], { call: 'respond', lane: 0, index: 0, generation: 1, status: 200, template: 1, flags: 0, headers: '', body: 'hello' })
})

test('an answer names lane, index and generation of its request', async (t) => {
  const { native } = startFakeWorker(() => new Response('') as never, { lanes: 3 })
  native.request({ lane: 2, index: 77, generation: -5 })
  native.wake()
  t.like(native.commands[0], { lane: 2, index: 77, generation: -5 })
})

const heads: [what: string, make: () => Response, template: number, headers: string][] = [
  ['JSON', () => Response.json(1), 2, ''],
  ['JSON with a field', () => Response.json(1, { headers: { 'X-A': 'b' } }), 2, 'x-a: b\r\n'],
  ['HTML', () => new Response('', { headers: { 'content-type': 'text/html;charset=UTF-8' } }), 3, ''],
  ['bytes', () => new Response(Buffer.from(''), { headers: { 'content-type': 'application/octet-stream' } }), 4, ''],
  ['a type no template has', () => new Response('', { headers: { 'content-type': 'text/html; charset=utf-8' } }), 0, 'content-type: text/html; charset=utf-8\r\n'],
  ['no type', () => new Response(null), 0, ''],
  ['several fields, in order', () => new Response('', { headers: [['x-b', '1'], ['set-cookie', 'a=1'], ['set-cookie', 'b=2']] }), 1, 'x-b: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n'],
]
for (const [what, make, template, headers] of heads) {
  test(`the head of ${what}`, async (t) => {
    const { commands } = await answering(make)
    t.like(commands[0], { template, headers })
  })
  test(`the head of ${what} after headers was looked at has the same fields`, async (t) => {
    const { commands } = await answering(() => {
      const response = make()
      void response.headers
      return response
    })
    t.is(commands[0]!.template, template)
    t.deepEqual(commands[0]!.headers!.split('\r\n').toSorted(), headers.split('\r\n').toSorted())
  })
}

test('a change of headers counts', async (t) => {
  const { commands } = await answering(() => {
    const response = Response.json({})
    response.headers.set('x-a', '1')
    response.headers.append('set-cookie', 'a=1')
    response.headers.append('set-cookie', 'b=2')
    response.headers.set('content-type', 'text/html;charset=UTF-8')
    return response
  })
  t.like(commands[0], { template: 3, headers: 'set-cookie: a=1\r\nset-cookie: b=2\r\nx-a: 1\r\n' })
})

test('framing fields are dropped, connection: close is a flag, date and server are announced', async (t) => {
  const framing = { 'content-length': '999', 'transfer-encoding': 'chunked', 'keep-alive': 'timeout=5', connection: 'keep-alive' }
  t.like((await answering(() => new Response('x', { headers: framing }))).commands[0], { headers: '', flags: 0, body: 'x' })
  t.like((await answering(() => new Response('x', { headers: { Connection: 'foo, Close' } }))).commands[0], { headers: '', flags: CLOSE })
  t.like((await answering(() => new Response('x', { headers: { date: 'now', Server: 'me' } }))).commands[0], { headers: 'date: now\r\nserver: me\r\n', flags: HAS_DATE | HAS_SERVER })
})

for (const status of [200, 404, 599]) {
  test(`status ${status} arrives`, async (t) => {
    t.is((await answering(() => new Response(null, { status }))).commands[0]!.status, status)
  })
}

test('bytes go up as they are', async (t) => {
  const { commands } = await answering(() => new Response(Uint8Array.of(0, 255, 13, 10)))
  t.deepEqual(commands[0]!.body, Buffer.from([0, 255, 13, 10]))
})

test('a response of text can be returned again and again', async (t) => {
  const shared = new Response('same')
  const { native, reports } = startFakeWorker(() => shared as never)
  native.request({ index: 1 })
  native.request({ index: 2 })
  native.wake()
  t.deepEqual(native.commands.map(({ body }) => body), ['same', 'same'])
  t.deepEqual(reports, [])
})

test('a response that is a stream is sent once', async (t) => {
  const shared = new Response(new Blob(['x']).stream())
  const { native, reports, runtime } = startFakeWorker(() => shared as never)
  native.request({ index: 1 })
  native.wake()
  await runtime.settled()
  native.request({ index: 2 })
  native.wake()
  t.is(native.of(2)[0]!.status, 500)
  t.like(reports[0]!.error, { code: 'ERR_SLUICE_RESPONSE_SENT' })
})

// ── streams ──

async function* letters(): AsyncGenerator<string> {
  yield 'a'
  yield 'b'
}

const sources: [what: string, make: () => ConstructorParameters<typeof Response>[0]][] = [
  ['a ReadableStream', () => streamOf(Buffer.from('a'), Buffer.from('b'))],
  ['an async iterable of text', letters],
  ['a Node stream', () => Readable.from([Buffer.from('a'), Buffer.from('b')])],
]
for (const [what, make] of sources) {
  test(`${what} goes up as head, chunks and end`, async (t) => {
    const { commands } = await answering(() => new Response(make(), { headers: { 'x-a': 'b' } }))
    t.deepEqual(commands.map(({ call }) => call), ['respondHead', 'respondChunk', 'respondChunk', 'respondEnd'])
    t.like(commands[0], { status: 200, headers: 'x-a: b\r\n', length: -1 })
    t.deepEqual(commands.slice(1, 3).map(({ body, wantDrain }) => [String(body), wantDrain]), [['a', false], ['b', false]])
  })
}

test('the head of a stream goes up before its first chunk is there', async (t) => {
  const { native, runtime } = startFakeWorker(() => new Response(new ReadableStream()) as never)
  native.request()
  native.wake()
  t.deepEqual(native.commands.map(({ call }) => call), ['respondHead'])
  t.is(runtime.inflight(), 1)
})

test('a Blob tells its length', async (t) => {
  const { commands } = await answering(() => new Response(new Blob(['abc'])))
  t.like(commands[0], { call: 'respondHead', length: 3 })
})

test('content-length of a stream is its length', async (t) => {
  const { commands, reports } = await answering(() => new Response(letters(), { headers: { 'content-length': '2' } }))
  t.like(commands[0], { headers: '', length: 2 })
  t.is(commands.at(-1)!.call, 'respondEnd')
  t.deepEqual(reports, [])
})

for (const [what, length] of [['longer', 1], ['shorter', 3]] as const) {
  test(`a stream that is ${what} than announced is broken off`, async (t) => {
    const { commands, reports } = await answering(() => new Response(letters(), { headers: { 'content-length': String(length) } }))
    t.is(commands.at(-1)!.call, 'respondReset')
    t.like(reports[0], { phase: 'send' })
  })
}

test('a source that fails after the head breaks the transfer off and is reported', async (t) => {
  const failure = new Error('disk gone')
  const { commands, reports, runtime } = await answering(
    () =>
      new Response(
        (async function* () {
          yield 'a'
          throw failure
        })(),
      ),
  )
  t.deepEqual(commands.map(({ call }) => call), ['respondHead', 'respondChunk', 'respondReset'])
  t.deepEqual(reports.map(({ error, phase }) => [error, phase]), [[failure, 'send']])
  t.is(runtime.inflight(), 0)
})

test('a chunk that is neither bytes nor text breaks the transfer off', async (t) => {
  const { commands, reports } = await answering(() => new Response(Readable.from([{ a: 1 }])))
  t.is(commands.at(-1)!.call, 'respondReset')
  t.like(reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
})

test('beyond 256 KiB the source waits for DRAIN, and no chunk is larger', async (t) => {
  let pulled = 0
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (; pulled < 8; pulled++) yield new Uint8Array(100 * KIB)
  }
  const { native, runtime } = startFakeWorker(() => new Response(source()) as never)
  native.request()
  native.wake()
  await native.until((commands) => commands.some(({ wantDrain }) => wantDrain === true))
  await new Promise(setImmediate)
  const chunks = (): Command[] => native.commands.filter(({ call }) => call === 'respondChunk')
  t.deepEqual(chunks().map(({ wantDrain }) => wantDrain), [false, false, true])
  t.is(pulled, 2)
  native.drained()
  native.wake()
  await native.until(() => chunks().length === 6)
  await new Promise(setImmediate)
  t.is(chunks().length, 6)
  native.drained()
  native.wake()
  await runtime.settled()
  t.is(chunks().length, 8)
  t.is(native.commands.at(-1)!.call, 'respondEnd')
})

for (const bytes of [WINDOW, WINDOW + 1]) {
  test(`one chunk of ${bytes} bytes ${bytes > WINDOW ? 'goes up in pieces and waits' : 'goes up at once'}`, async (t) => {
    const { native, runtime } = startFakeWorker(() => new Response(streamOf(new Uint8Array(bytes))) as never)
    native.request()
    native.wake()
    await native.until((commands) => commands.some(({ call, wantDrain }) => call === 'respondEnd' || wantDrain === true))
    const chunks = native.commands.filter(({ call }) => call === 'respondChunk')
    t.deepEqual(chunks.map(({ body, wantDrain }) => [body!.length, wantDrain]), bytes > WINDOW ? [[WINDOW, false], [1, true]] : [[WINDOW, false]])
    native.drained()
    native.wake()
    await runtime.settled()
    t.is(native.commands.at(-1)!.call, 'respondEnd')
  })
}

test('when the client leaves, a ReadableStream is cancelled with the reason', async (t) => {
  let cancelled: unknown
  const { native, runtime, reports } = startFakeWorker(() => new Response(new ReadableStream({ cancel: (reason) => void (cancelled = reason) })) as never)
  native.request()
  native.wake()
  native.abort(AbortReason.CLIENT_GONE)
  native.wake()
  await runtime.settled()
  t.like(cancelled, { name: 'AbortError' })
  t.deepEqual(reports, [])
  t.deepEqual(native.commands.map(({ call }) => call), ['respondHead'])
})

test('when the client leaves, an async iterable that hangs is let go, and its finally block runs when it can', async (t) => {
  let release = (): void => undefined
  const hang = new Promise<void>((resolve) => (release = resolve))
  const finished = new Promise<void>((resolve) => {
    const { native, runtime } = startFakeWorker(
      () =>
        new Response(
          (async function* () {
            try {
              yield 'a'
              await hang
            } finally {
              resolve()
            }
          })(),
        ) as never,
    )
    native.request()
    native.wake()
    void native.until((commands) => commands.length === 2).then(async () => {
      native.abort(AbortReason.CLIENT_GONE)
      native.wake()
      await runtime.settled()
      release()
    })
  })
  await t.notThrowsAsync(finished)
})

test('when the client leaves, a Node stream is destroyed', async (t) => {
  const stream = new Readable({ read: () => undefined })
  const { native, runtime, reports } = startFakeWorker(() => new Response(stream) as never)
  native.request()
  native.wake()
  native.abort(AbortReason.CLIENT_GONE)
  native.wake()
  await runtime.settled()
  t.true(stream.destroyed)
  t.deepEqual(reports, [])
})

test('a stream that waits for DRAIN ends when the client leaves', async (t) => {
  const { native, runtime } = startFakeWorker(() => new Response(streamOf(new Uint8Array(2 * WINDOW))) as never)
  native.request()
  native.wake()
  await native.until((commands) => commands.some(({ wantDrain }) => wantDrain === true))
  native.abort(AbortReason.CLIENT_GONE)
  native.wake()
  await runtime.settled()
  t.false(native.commands.some(({ call }) => call === 'respondEnd' || call === 'respondReset'))
})

test('an exchange that is gone before its head cancels the source', async (t) => {
  let cancelled = false
  const { native, runtime, reports } = startFakeWorker(() => new Response(new ReadableStream({ cancel: () => void (cancelled = true) })) as never)
  native.gone.add(0)
  native.request()
  native.wake()
  await runtime.settled()
  t.true(cancelled)
  t.deepEqual(reports, [])
})

test('a refused chunk cancels the source', async (t) => {
  let cancelled = false
  const { native, runtime } = startFakeWorker(
    () =>
      new Response(
        new ReadableStream({
          pull: (controller) => {
            native.gone.add(0)
            controller.enqueue(Buffer.from('x'))
          },
          cancel: () => void (cancelled = true),
        }, { highWaterMark: 0 }),
      ) as never,
  )
  native.request()
  native.wake()
  await runtime.settled()
  t.true(cancelled)
})

// ── HEAD ──

test('HEAD of a stream sends its head only, and cancels the source unread', async (t) => {
  let pulled = 0
  let cancelled = 0
  const stream = (): ReadableStream => new ReadableStream({ pull: () => void pulled++, cancel: () => void cancelled++ }, { highWaterMark: 0 })
  const { commands } = await answering(() => new Response(stream(), { headers: { 'content-length': '5' } }), { method: 'HEAD' })
  t.deepEqual(commands.map(({ call }) => call), ['respondHead', 'respondEnd'])
  t.is(commands[0]!.length, 5)
  t.is(pulled, 0)
  t.is(cancelled, 1)
})

test('HEAD of text leaves it to the core to send the length alone', async (t) => {
  t.like((await answering(() => new Response('abc'), { method: 'HEAD' })).commands[0], { call: 'respond', body: 'abc' })
})

test('an answer to HEAD without a body may tell a length', async (t) => {
  const { commands } = await answering(() => new Response(null, { headers: { 'content-length': '1234' } }), { method: 'HEAD' })
  t.deepEqual(commands.map(({ call }) => call), ['respondHead', 'respondEnd'])
  t.is(commands[0]!.length, 1234)
})

// ── responses of other classes ──

test('a native response is sent with its fields', async (t) => {
  const { commands } = await answering(() => new NativeResponse('abc', { status: 201, headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2']] }))
  t.like(commands[0], { call: 'respondHead', status: 201, template: 1, headers: 'set-cookie: a=1\r\nset-cookie: b=2\r\n' })
  t.is(String(commands[1]!.body), 'abc')
  t.is(commands.at(-1)!.call, 'respondEnd')
})

test('a native response without a body', async (t) => {
  t.like((await answering(() => new NativeResponse(null, { status: 204 }))).commands[0], { call: 'respond', status: 204, body: null })
})

test('a response of another library is sent', async (t) => {
  const like = { status: 200, headers: new Map([['x-a', 'b']]), body: letters() }
  const { commands } = await answering(() => like)
  t.like(commands[0], { headers: 'x-a: b\r\n' })
  t.is(commands.length, 4)
})

for (const value of ['a\r\nb: c', 'a\0', '\u0100']) {
  test(`a response of another library cannot split the answer with ${JSON.stringify(value)}`, async (t) => {
    const { commands, reports } = await answering(() => ({ status: 200, headers: new Map([['x-a', value]]), body: null }))
    t.is(commands.length, 1)
    t.is(commands[0]!.status, 500)
    t.like(reports[0]!.error, { code: 'ERR_SLUICE_INVALID_ARG' })
  })
}

test('the network error, a status out of range and a read body are answered with 500', async (t) => {
  const read = new NativeResponse('x')
  await read.text()
  for (const response of [Response.error(), { status: 999, headers: new Map(), body: null }, read]) {
    const { commands, reports } = await answering(() => response)
    t.is(commands[0]!.status, 500)
    t.is(reports.length, 1)
  }
})

test('a response whose body the app has read is answered with 500', async (t) => {
  const response = new Response('x')
  await response.text()
  const { commands, reports } = await answering(() => response)
  t.is(commands[0]!.status, 500)
  t.true(reports[0]!.error instanceof TypeError)
})

test('a response whose body was looked at is still sent', async (t) => {
  const { commands } = await answering(() => {
    const response = new Response('abc')
    void response.body
    return response
  })
  t.like(commands[0], { call: 'respondHead', template: 1 })
  t.is(String(commands[1]!.body), 'abc')
})
