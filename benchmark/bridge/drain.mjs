// What one request costs on the worker's thread without a core: records are written into a ring in this process, and the
// calls that would go to the core do nothing. Times the drain, the request, the handler's reads and the response; adds
// neither the real calls (about 0.1 µs) nor the wake-up.
//
// node --import ./scripts/ts-loader.mjs benchmark/bridge/drain.mjs
import { FakeNative } from '../../__test__/support/fake-native.ts'
import { resolveApp, startRuntime } from '../../src-ts/app.ts'
import { installGlobals } from '../../src-ts/http/globals.ts'

const BATCH = 32
const ROUNDS = 200
const BATCHES = 500

const three = [['Host', '127.0.0.1:5200'], ['User-Agent', 'bench/1.0'], ['Accept', '*/*']]
const eight = [...three, ['Accept-Encoding', 'gzip'], ['Accept-Language', 'en'], ['Cookie', 'sid=1234567890'], ['X-Trace', 'abc'], ['X-Tenant', 'acme']]
const cases = {
  'nothing read': [{}, () => new Response('hello')],
  'method and url': [{}, (req) => new Response(req.method + req.url.length)],
  'one response header': [{}, () => new Response('hello', { headers: { 'x-served-by': 'sluice' } })],
  'Response.json': [{}, () => Response.json({ hello: 'world' })],
  'async handler': [{}, async () => new Response('hello')],
  'async handler, url': [{}, async (req) => new Response(req.url)],
  '8 headers, 2 read': [{ headers: eight }, (req) => new Response(req.header('cookie') + req.header('x-tenant'))],
  '8 headers, Headers': [{ headers: eight }, (req) => new Response(req.headers.get('cookie'))],
  'POST 1 KiB echo': [{ method: 'POST', body: 'x'.repeat(1024) }, async (req) => new Response(await req.text())],
}

installGlobals()
for (const [name, [request, fetch]] of Object.entries(cases)) {
  const native = new FakeNative({ ringBytes: 1 << 20 })
  const worker = { id: 0, kind: 'worker', name: 'bench', version: undefined, threadId: 0, status: 'idle' }
  let answered = 0
  native.respond = () => (answered++, true)
  native.flush = () => undefined
  startRuntime({ native, server: 0, slot: 0, ports: [{ bodyBytes: 1 << 22 }], handled: [{ protocol: 'http', app: resolveApp(fetch) }], worker, report: console.error })
  let best = Infinity
  for (let round = 0; round < ROUNDS / 10; round++) {
    let spent = 0
    for (let batch = 0; batch < BATCHES; batch++) {
      for (let index = 0; index < BATCH; index++) native.request({ headers: three, target: '/hello', ...request, index, generation: batch })
      const start = process.hrtime.bigint()
      native.wake()
      if (fetch.constructor.name === 'AsyncFunction') await new Promise(process.nextTick)
      spent += Number(process.hrtime.bigint() - start)
      // A busy fake: what the budget left over runs in the next turn.
      while (native.head() !== native.tail()) await new Promise(setImmediate)
    }
    best = Math.min(best, spent / (BATCHES * BATCH))
  }
  process.stdout.write(`${name.padEnd(24)} ${best.toFixed(0).padStart(6)} ns${answered % BATCH === 0 ? '' : '  (answers missing)'}\n`)
}
