import test from 'ava'
import { AbortReason, BODY_INCOMPLETE, HttpFlag } from '../../src-ts/bridge/record.ts'
import type { FakeNative, FakeRequest } from '../support/fake-native.ts'
import { startFakeWorker } from '../support/fake-worker.ts'

const TEXT = 'caf\u00e9 \u{1f600}'

/** The ways a body reaches a worker. */
const deliveries: Record<string, (native: FakeNative, request: FakeRequest & { body: string }) => void> = {
  inline: (native, request) => native.request(request),
  'out of line': (native, request) => native.blobRequest(request, HttpFlag.BLOB),
  streamed: (native, { body, ...request }) => {
    native.request({ ...request, flags: HttpFlag.STREAM })
    const bytes = Buffer.from(body)
    for (let at = 0; at < bytes.length; at += 3) native.chunk(bytes.subarray(at, at + 3))
    native.bodyEnd()
  },
}

/** What `read` gives in a handler for the request that `deliver` writes. */
async function reading(deliver: (native: FakeNative) => void, read: (req: Request) => unknown, bodyBytes?: number) {
  let result: unknown
  const { native, runtime, reports } = startFakeWorker(
    async (req) => {
      result = await read(req)
      return new Response()
    },
    bodyBytes === undefined ? {} : { bodyBytes },
  )
  deliver(native)
  native.wake()
  await runtime.settled()
  return { result, native, reports }
}

for (const [how, deliver] of Object.entries(deliveries)) {
  const post = (native: FakeNative, body = TEXT, type = 'text/plain'): void =>
    deliver(native, { method: 'POST', headers: [['host', 'h'], ['content-type', type]], body })

  test(`text() of a body that is ${how}`, async (t) => {
    t.is((await reading(post, (req) => req.text())).result, TEXT)
  })

  test(`text() drops a byte order mark of a body that is ${how}`, async (t) => {
    t.is((await reading((native) => post(native, `\ufeff${TEXT}`), (req) => req.text())).result, TEXT)
  })

  test(`json() of a body that is ${how}`, async (t) => {
    t.deepEqual((await reading((native) => post(native, '{"a":[1,2]}'), (req) => req.json())).result, { a: [1, 2] })
  })

  test(`json() rejects for a body that is ${how} and no JSON`, async (t) => {
    const { result } = await reading((native) => post(native, '{'), (req) => req.json().catch((error: unknown) => error))
    t.true(result instanceof SyntaxError)
  })

  test(`bytes() and arrayBuffer() of a body that is ${how} own their memory`, async (t) => {
    const reads = [(req: Request) => req.arrayBuffer(), async (req: Request) => (await (req as unknown as { bytes(): Promise<Uint8Array> }).bytes()).buffer]
    for (const read of reads) {
      const { result } = await reading(post, read)
      t.true(result instanceof ArrayBuffer)
      t.is(Buffer.from(result as ArrayBuffer).toString(), TEXT)
    }
  })

  test(`blob() of a body that is ${how} has its type`, async (t) => {
    const { result } = await reading(post, async (req) => {
      const blob = await req.blob()
      return [blob.type, await blob.text()]
    })
    t.deepEqual(result, ['text/plain', TEXT])
  })

  test(`formData() of a body that is ${how}`, async (t) => {
    const form = (native: FakeNative): void => post(native, 'a=1&b=two', 'application/x-www-form-urlencoded')
    t.deepEqual((await reading(form, async (req) => [...(await req.formData())])).result, [['a', '1'], ['b', 'two']])
  })

  test(`body of a body that is ${how} is a stream, and bodyUsed tells when it was read`, async (t) => {
    const { result } = await reading(post, async (req) => {
      const before = req.bodyUsed
      const stream = req.body
      const chunks: Uint8Array[] = []
      for await (const chunk of stream!) chunks.push(chunk)
      return [before, Buffer.concat(chunks).toString(), req.bodyUsed, req.body === stream]
    })
    t.deepEqual(result, [false, TEXT, true, true])
  })

  test(`a body that is ${how} is read once`, async (t) => {
    const { result } = await reading(post, async (req) => {
      await req.text()
      return [req.bodyUsed, req.body!.locked, (await req.text().catch((error: unknown) => error)) instanceof TypeError]
    })
    t.deepEqual(result, [true, true, true])
  })

  test(`a body that is ${how} can be read after an await, when the ring has gone on`, async (t) => {
    const { result } = await reading(post, async (req) => {
      await new Promise(setImmediate)
      return req.text()
    })
    t.is(result, TEXT)
  })

  test(`clone() gives a body that is ${how} twice`, async (t) => {
    const { result } = await reading(post, async (req) => {
      const clone = req.clone()
      return [clone instanceof Request, clone.url === req.url, await Promise.all([req.text(), clone.text()])]
    })
    t.deepEqual(result, [true, true, [TEXT, TEXT]])
  })

  test(`clone() of a request whose body is ${how} and was read throws`, async (t) => {
    const { result } = await reading(post, async (req) => {
      await req.text()
      return t.throws(() => req.clone())
    })
    t.true(result instanceof TypeError)
  })

  test(`a reader with its own buffer reads a body that is ${how}`, async (t) => {
    const { result } = await reading(post, async (req) => {
      const reader = req.body!.getReader({ mode: 'byob' })
      let text = ''
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(4))
        if (done) return text
        text += Buffer.from(value).toString('latin1')
      }
    })
    t.is(Buffer.from(result as string, 'latin1').toString(), TEXT)
  })
}

test('a request without a body has none, and reads as empty', async (t) => {
  const { result } = await reading((native) => native.request({ method: 'POST' }), async (req) => [req.body, await req.text(), await req.text(), req.bodyUsed, (await req.arrayBuffer()).byteLength])
  t.deepEqual(result, [null, '', '', false, 0])
})

test('clones keep their own headers', async (t) => {
  const { result } = await reading((native) => native.request({ headers: [['x-a', '1']] }), (req) => {
    req.headers.set('x-a', '2')
    const clone = req.clone()
    clone.headers.set('x-a', '3')
    return [req.headers.get('x-a'), clone.headers.get('x-a')]
  })
  t.deepEqual(result, ['2', '3'])
})

test('a body read whole from the ring leaves no view of it', async (t) => {
  const { result, native } = await reading((fake) => fake.request({ method: 'POST', body: 'secret' }), (req) => req.arrayBuffer())
  native.scribble()
  t.is(Buffer.from(result as ArrayBuffer).toString(), 'secret')
  t.is((result as ArrayBuffer).byteLength, 6)
})

/** Calls and their lengths, in order. */
function credits(native: FakeNative): (number | undefined)[] {
  return native.commands.filter(({ call }) => call === 'credit').map(({ length }) => length)
}

test('nothing is credited before somebody reads; the first read says so with 0, then each chunk is given back', async (t) => {
  const gate = openGate()
  const { native, runtime } = startFakeWorker(async (req) => {
    await gate.opened
    for await (const chunk of req.body!) void chunk
    return new Response()
  })
  native.request({ method: 'POST', flags: HttpFlag.STREAM })
  native.chunk('12345')
  native.wake()
  await new Promise(setImmediate)
  t.deepEqual(native.commands, [])
  gate.open()
  await native.until((commands) => commands.length === 2)
  t.deepEqual(credits(native), [0, 5])
  native.chunk('678')
  native.bodyEnd()
  native.wake()
  await runtime.settled()
  t.deepEqual(credits(native), [0, 5, 3])
})

test('a stream nobody reads on is not credited further', async (t) => {
  const gate = openGate()
  const { native, runtime } = startFakeWorker(async (req) => {
    await req.body!.getReader().read()
    await gate.opened
    return new Response()
  })
  native.request({ method: 'POST', flags: HttpFlag.STREAM })
  for (let chunk = 0; chunk < 4; chunk++) native.chunk('x'.repeat(100))
  native.wake()
  await native.until((commands) => commands.length === 2)
  await new Promise(setImmediate)
  t.deepEqual(credits(native), [0, 100])
  gate.open()
  await runtime.settled()
})

test('bytes that come with a streamed request are the first of its body', async (t) => {
  const { result } = await reading((native) => {
    native.request({ method: 'POST', flags: HttpFlag.STREAM, body: 'first,' })
    native.chunk('second')
    native.bodyEnd()
  }, (req) => req.text())
  t.is(result, 'first,second')
})

test('cancelling a streamed body drops the rest without credit', async (t) => {
  const { native } = await reading((fake) => {
    fake.request({ method: 'POST', flags: HttpFlag.STREAM })
    fake.chunk('one')
    fake.chunk('two')
  }, async (req) => {
    const reader = req.body!.getReader()
    await reader.read()
    await reader.cancel()
  })
  t.deepEqual(credits(native), [0, 3])
})

test('chunks of an exchange that is over, or of another generation, go nowhere', async (t) => {
  let bytes = 0
  const { native, runtime } = startFakeWorker(async (req) => {
    for await (const chunk of req.body!) bytes += chunk.length
    return new Response()
  })
  native.request({ method: 'POST', flags: HttpFlag.STREAM, generation: 5 })
  native.chunk('other', { generation: 4 })
  native.chunk('none', { index: 77 })
  native.chunk('mine', { generation: 5 })
  native.bodyEnd(0, { generation: 5 })
  native.wake()
  await runtime.settled()
  native.chunk('late', { generation: 5 })
  native.wake()
  t.is(bytes, 4)
})

for (const length of [10, 11]) {
  const isWithin = length <= 10
  const verdict = isWithin ? 'is read' : 'is answered with 413'
  const status = isWithin ? 200 : 413

  test(`a streamed body of ${length} bytes ${verdict} at a limit of 10`, async (t) => {
    const { native, runtime, reports } = startFakeWorker(async (req) => new Response(await req.text()), { bodyBytes: 10 })
    native.request({ method: 'POST', flags: HttpFlag.STREAM })
    for (let sent = 0; sent < length; sent++) native.chunk('x')
    if (isWithin) native.bodyEnd()
    native.wake()
    await runtime.settled()
    t.is(native.commands.find((command) => command.status !== undefined)!.status, status)
    t.deepEqual(reports, [])
  })

  test(`a streamed body announced with ${length} bytes ${verdict} at a limit of 10`, async (t) => {
    const { native, runtime } = startFakeWorker(async (req) => new Response(await req.text()), { bodyBytes: 10 })
    native.request({ method: 'POST', flags: HttpFlag.STREAM, headers: [['content-length', String(length)]] })
    // Over the limit, the announcement alone decides: no byte has come.
    if (isWithin) {
      native.chunk('x'.repeat(length))
      native.bodyEnd()
    }
    native.wake()
    await runtime.settled()
    t.is(native.commands.find((command) => command.status !== undefined)!.status, status)
  })
}

test('a body over the limit rejects with a RangeError the handler can catch', async (t) => {
  const { result } = await reading((native) => native.request({ method: 'POST', flags: HttpFlag.STREAM, headers: [['content-length', '11']] }), (req) => req.text().catch((error: unknown) => error), 10)
  t.true(result instanceof RangeError)
  t.like(result, { code: 'ERR_SLUICE_BODY_TOO_LARGE' })
})

test('a stream is not bound by the limit of whole bodies', async (t) => {
  const { result } = await reading((native) => {
    native.request({ method: 'POST', flags: HttpFlag.STREAM, headers: [['content-length', '50']] })
    native.chunk('x'.repeat(50))
    native.bodyEnd()
  }, async (req) => {
    let length = 0
    for await (const chunk of req.body!) length += chunk.length
    return length
  }, 10)
  t.is(result, 50)
})

test('a body that breaks off rejects, and is answered with 400 without a report', async (t) => {
  const { native, runtime, reports } = startFakeWorker(async (req) => new Response(await req.text()))
  native.request({ method: 'POST', flags: HttpFlag.STREAM })
  native.chunk('half')
  native.bodyEnd(BODY_INCOMPLETE)
  native.wake()
  await runtime.settled()
  t.is(native.commands.find((command) => command.status !== undefined)!.status, 400)
  t.deepEqual(reports, [])
})

test('a client that leaves ends the reading handler, with no report and no answer', async (t) => {
  let thrown: unknown
  const { native, runtime, reports } = startFakeWorker(async (req) => {
    try {
      return new Response(await req.text())
    } catch (error) {
      thrown = error
      throw error
    }
  })
  native.request({ method: 'POST', flags: HttpFlag.STREAM })
  native.chunk('half')
  native.wake()
  native.abort(AbortReason.CLIENT_GONE)
  native.wake()
  await runtime.settled()
  t.like(thrown, { name: 'AbortError' })
  t.deepEqual(reports, [])
  t.deepEqual(native.commands.filter(({ call }) => call !== 'credit'), [])
})

function openGate(): { open(): void; opened: Promise<void> } {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { open, opened }
}

test('a streamed body that nobody had read before the answer fails for who reads it then', async (t) => {
  let late: Promise<unknown> | undefined
  const { native, runtime } = startFakeWorker(async (req) => {
    await null
    late = new Promise((resolve) => setImmediate(resolve)).then(() => req.text())
    return new Response()
  })
  native.request({ method: 'POST', flags: HttpFlag.STREAM, headers: [['transfer-encoding', 'chunked']] })
  native.wake()
  await runtime.settled()
  await t.throwsAsync(late!, { code: 'ERR_SLUICE_INVALID_STATE', message: /read the body before answering/ })
})
