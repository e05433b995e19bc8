/**
 * What a start does not load. Node's `Request`, `Response`, `Headers` and `fetch` come with a whole HTTP client: 40 ms and 7 MiB
 * for each thread, more than all the rest of a worker's start.
 */
import test from 'ava'
import { AppFolder, ask, startServer } from '../support/server.ts'

const heavy = ['NativeModule internal/deps/undici/undici', 'NativeModule http', 'NativeModule crypto', 'NativeModule internal/crypto/random', 'NativeModule v8']

/**
 * Loaded whatever we do. Since Node.js 22 the lazy globals are data properties that load when they are looked at, also by the
 * one look that keeps the original for later; before, they were accessors.
 */
const unavoidable = Number(process.versions.node.split('.')[0]) < 22 ? [] : heavy.slice(0, 4)

/** An app that tells which of the heavy modules its thread has, after `use` has run. */
const telling = (use: string): string => `
const heavy = ${JSON.stringify(heavy)}
const loaded = () => Response.json(heavy.filter((name) => process.moduleLoadList.includes(name)))
export default {
  async fetch(req, ctx) {
    ${use}
    return loaded()
  }
}`

const loads = test.macro<[use: string, expected: readonly string[], method?: string]>({
  exec: async (t, use, expected, method = 'GET') => {
    const folder = await AppFolder.create(t)
    const server = await startServer(t, { app: await folder.write(telling(use)), workers: 1 })
    const names = JSON.parse((await ask(server, '/', method)).text) as string[]
    const without = (list: readonly string[]): string[] => list.filter((name) => !unavoidable.includes(name))
    t.deepEqual(without(names), without(expected))
  },
  title: (title = '') => title,
})

const UNDICI = heavy[0]!

test('answers in every usual form load nothing', loads, `
  new Response('text', { status: 201, headers: { 'x-a': '1' } })
  new Response(new Uint8Array(2))
  new Response(Buffer.from('ab'))
  new Response(new ArrayBuffer(2))
  new Response(null, { status: 204 })
  new Response(new URLSearchParams('a=1'))
  new Response(new Blob(['a']))
  new Response(new ReadableStream())
  new Response((async function* () {})())
  new Response(1)
  Response.redirect('/x')
`, [])

test('reading a request loads nothing', loads, `
  req.method + req.url + req.headers.get('host') + req.headers.has('x') + [...req.headers] + Object.fromEntries(req.headers)
  req.cache + req.mode + req.bodyUsed + Object.prototype.toString.call(req)
  req.signal.aborted
  await req.clone().text()
  await req.text()
`, [], 'POST')

test('reading the context loads nothing', loads, `
  ctx.ip + ctx.port + ctx.host + ctx.scheme + ctx.url.pathname + ctx.receivedAt + ctx.worker.id + ctx.signal.aborted
  ctx.locals.a = 1
  ctx.after(() => {})
  ctx.waitUntil(Promise.resolve())
`, [])

test('instanceof Request and Response load nothing, whatever is asked', loads, `
  const answers = [req instanceof Request, new Response() instanceof Response, {} instanceof Request, {} instanceof Response, null instanceof Response, 1 instanceof Request]
  if (String(answers) !== 'true,true,false,false,false,false') throw new Error(String(answers))
`, [])

test('a failure answer loads nothing but what makes its id', loads, `
  if (ctx.id.length < 8) throw new Error('short')
`, ['NativeModule crypto', 'NativeModule internal/crypto/random'])

for (const [what, use] of [
  ['instanceof Headers', 'if (!(req.headers instanceof Headers)) throw new Error("no")'],
  ['new Request(req)', 'if (!(new Request(req) instanceof Request) || !(req instanceof Object.getPrototypeOf(new Request(req)).constructor)) throw new Error("no")'],
  ['a change of the response headers', 'const res = new Response("a"); res.headers.set("x", "y"); if (!(res.headers instanceof Headers)) throw new Error("no")'],
  ['reading a response', 'if (await new Response("a").text() !== "a") throw new Error("no")'],
  ['a form', 'const form = new FormData(); form.set("a", "b"); new Response(form)'],
  ['a class that extends Request', 'class Mine extends Request {}; if (!(new Mine("http://h/") instanceof Request) || req instanceof Mine) throw new Error("no")'],
  ['Request.prototype', 'if (!(Request.prototype.isPrototypeOf(req))) throw new Error("no")'],
  ['compiling a response', 'await WebAssembly.compileStreaming(new Response(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0), { headers: { "content-type": "application/wasm" } }))'],
] as const) {
  test(`${what} loads Node's classes, and works`, async (t) => {
    const folder = await AppFolder.create(t)
    const server = await startServer(t, { app: await folder.write(telling(use)), workers: 1 })
    const { status, text } = await ask(server, '/')
    t.is(status, 200, text)
    t.true((JSON.parse(text) as string[]).includes(UNDICI))
  })
}

test('after Node\'s classes have come, the globals are still ours', async (t) => {
  const folder = await AppFolder.create(t)
  const server = await startServer(t, { app: await folder.write(`
    const before = [Response, Request, fetch]
    export default { fetch: async (req) => {
      const response = await fetch('data:,x')
      const same = [Response, Request, fetch].every((one, at) => one === before[at])
      return new Response([same, response instanceof Response, new Response() instanceof response.constructor, req.headers instanceof Headers, await response.text()].join())
    } }`), workers: 1 })
  t.is((await ask(server, '/')).text, 'true,true,true,true,x')
})
