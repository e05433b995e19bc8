/**
 * The application that the conformance tests talk to, inline and in a worker. Requests meet each other by a key in
 * the path, so that a test can order events without ever waiting for time to pass.
 */

const gates = new Map()

/** What requests with one key have in common: who has entered, whether they may go on, what has happened. */
function gate(key) {
  let found = gates.get(key)
  if (!found) {
    found = { log: [], entered: defer(), released: defer(), aborted: defer(), pulled: 0 }
    gates.set(key, found)
  }
  return found
}

function defer() {
  let resolve
  const promise = new Promise((done) => (resolve = done))
  return { promise, resolve }
}

const text = (body, init) => new Response(body, init)

const routes = {
  hello: () => text('hello'),
  method: (req) => text(req.method),
  url: (req, ctx) => Response.json({ url: req.url, method: req.method, host: req.headers.get('host'), ip: ctx.ip }),
  headers: (req) => Response.json([...req.headers]),
  status: (_req, _ctx, [code]) => new Response(null, { status: Number(code) }),
  block: (_req, _ctx, [size]) => text(Buffer.alloc(Number(size), 'x')),
  json: () => Response.json({ a: 1, b: 'é' }),
  cookies: () =>
    text('two', {
      headers: [
        ['set-cookie', 'a=1; Path=/'],
        ['set-cookie', 'b=2; Path=/'],
      ],
    }),
  redirect: () => Response.redirect('http://example.com/elsewhere', 302),
  close: () => text('bye', { headers: { connection: 'close' } }),
  throw: () => {
    throw new Error('on purpose')
  },

  async echo(req) {
    return new Response(await req.arrayBuffer(), { headers: { 'content-type': 'application/octet-stream' } })
  },
  'echo-stream': (req) => new Response(req.body, { headers: { 'content-type': 'application/octet-stream' } }),
  /** Begins its answer before it looks at the body. */
  'late-read': (req) =>
    new Response(
      (async function* () {
        yield Buffer.from('begun ')
        yield Buffer.from(await req.arrayBuffer())
      })(),
    ),
  'ignore-body': () => text('ignored'),

  /** Enters the gate, waits to be let through, leaves. `log` shows whether two of them overlapped. */
  async wait(req, _ctx, [key, name = req.method]) {
    const { log, entered, released } = gate(key)
    log.push(`enter ${name}`)
    entered.resolve()
    await released.promise
    log.push(`leave ${name}`)
    return text(name)
  },
  async entered(_req, _ctx, [key]) {
    await gate(key).entered.promise
    return text('entered')
  },
  release(_req, _ctx, [key]) {
    gate(key).released.resolve()
    return text('released')
  },
  log: (_req, _ctx, [key]) => Response.json(gate(key).log),
  note(req, _ctx, [key]) {
    gate(key).log.push(req.method)
    return text('noted')
  },

  /** Answers only when its client has left or its deadline has passed. */
  async never(_req, ctx, [key]) {
    const { entered, aborted } = gate(key)
    entered.resolve()
    await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve, { once: true }))
    aborted.resolve()
    return text('too late')
  },
  async aborted(_req, _ctx, [key]) {
    await gate(key).aborted.promise
    return text('aborted')
  },

  stream: (_req, _ctx, parts) =>
    new Response(
      (async function* () {
        for (const part of parts) {
          await null
          yield Buffer.from(part)
        }
      })(),
    ),
  /** A streamed answer whose length is known. */
  sized: (_req, _ctx, [part]) => new Response(ReadableStream.from([Buffer.from(part)]), { headers: { 'content-length': String(part.length) } }),
  'stream-error': () =>
    new Response(
      (async function* () {
        yield Buffer.from('begun')
        await null
        throw new Error('on purpose')
      })(),
    ),
  /** Never ends; `pulled` says how much of it was taken. */
  flood(_req, _ctx, [key]) {
    const state = gate(key)
    const block = Buffer.alloc(64 * 1024, 0x61)
    const pull = (controller) => {
      state.pulled += block.length
      controller.enqueue(block)
    }
    return new Response(new ReadableStream({ pull, cancel: () => state.aborted.resolve() }, { highWaterMark: 0 }))
  },
  pulled: (_req, _ctx, [key]) => text(String(gate(key).pulled)),

  /** Tries to put the given name and value into a response header in one way, and says what came of it. */
  async splitting(req, _ctx, [way]) {
    const [name, value] = await req.json()
    try {
      return splittingWays[way](name, value)
    } catch (error) {
      return Response.json({ name: error.name, code: error.code })
    }
  },
}

const splittingWays = {
  object: (name, value) => text('sent', { headers: { [name]: value } }),
  pairs: (name, value) => text('sent', { headers: [[name, value]] }),
  json: (name, value) => Response.json({}, { headers: { [name]: value } }),
  set(name, value) {
    const response = text('sent')
    response.headers.set(name, value)
    return response
  },
  append(name, value) {
    const response = text('sent')
    response.headers.append(name, value)
    return response
  },
  'status-text': (_name, value) => text('sent', { statusText: value }),
  redirect: (_name, value) => Response.redirect(`http://example.com/${value}`),
}

export default {
  fetch(req, ctx) {
    const path = req.url.slice(req.url.indexOf('/', req.url.indexOf('//') + 2))
    const [name, ...rest] = path.split('?')[0].slice(1).split('/')
    if (req.method === 'OPTIONS' && new URL(req.url).pathname.endsWith('*')) return text('options')
    return routes[name || 'hello']?.(req, ctx, rest) ?? text('not found', { status: 404 })
  },
}
