import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { context, enableContextStore, scope, scoped } from '../src-ts/context-store.ts'
import { SluiceResponse as Response } from '../src-ts/http/response.ts'
import { startFakeWorker } from './support/fake-worker.ts'

// One store per thread, so the states before it is on need threads of their own: these two run this file's program part.
const root = new URL('..', import.meta.url)
function program(source: string): string {
  const { stdout, stderr } = spawnSync(process.execPath, ['--import=./scripts/ts-loader.mjs', '--input-type=module', '-e', source], { cwd: fileURLToPath(root), encoding: 'utf8', timeout: 60_000 })
  return stdout + stderr
}
const imports = `
import { context, enableContextStore, scope } from './src-ts/context-store.ts'
import { SluiceResponse as Response } from './src-ts/http/response.ts'
import { startFakeWorker } from './__test__/support/fake-worker.ts'
`

test('the first context() of all, in a handler, holds across its awaits and not for the next request', (t) => {
  const output = program(`${imports}
const seen = []
const { native, runtime } = startFakeWorker(async (req) => {
  if (req.url.endsWith('/first')) {
    const ctx = context()
    await null
    await new Promise(setImmediate)
    seen.push(context() === ctx ? 'the same' : 'another')
  } else {
    await new Promise(setImmediate)
    seen.push(context().url.pathname)
  }
  return new Response()
})
native.request({ index: 1, target: '/first' })
native.request({ index: 2, target: '/second' })
native.wake()
await runtime.settled()
let outside = 'no error'
setImmediate(() => {
  try { context() } catch (error) { outside = error.code }
  console.log(JSON.stringify([seen.sort(), outside]))
})
`)
  t.is(output.trim(), '[["/second","the same"],"ERR_SLUICE_INVALID_STATE"]')
})

test('without context() there is no store', (t) => {
  const output = program(`${imports}
const { native, runtime } = startFakeWorker(async () => new Response())
native.request()
native.wake()
await runtime.settled()
console.log(scope.store)
`)
  t.is(output.trim(), 'null')
})

test('the first context() behind an await says what to do, and the next request has it', (t) => {
  const output = program(`${imports}
const seen = []
const { native, runtime } = startFakeWorker(async () => {
  await null
  try { seen.push(typeof context().id) } catch (error) { seen.push(error.message.includes('enableContextStore()')) }
  return new Response()
})
for (let index = 0; index < 2; index++) {
  native.request({ index })
  native.wake()
  await runtime.settled()
}
console.log(JSON.stringify(seen))
`)
  t.is(output.trim(), '[true,"string"]')
})

test.serial('context() is the context of the running request, in handlers, hooks, error handlers, after functions and cleaners', async (t) => {
  enableContextStore()
  const seen: [string, string][] = []
  const note = (where: string): void => void seen.push([where, context().url.pathname])
  const { native, runtime, reports } = startFakeWorker(
    {
      fetch: async (_req, ctx) => {
        await new Promise(setImmediate)
        note('fetch')
        ctx.after(() => note('after'))
        throw new Error('x')
      },
      error: async () => {
        await null
        note('error')
        return new Response() as never
      },
      hooks: { requestReceived: () => note('requestReceived') },
    },
    { cleaners: [() => note('cleaner')] },
  )
  native.request({ index: 1, target: '/1' })
  native.request({ index: 2, target: '/2' })
  native.wake()
  await runtime.settled()
  t.deepEqual(reports, [])
  for (const path of ['/1', '/2']) {
    t.deepEqual(seen.filter(([, at]) => at === path).map(([where]) => where), ['requestReceived', 'fetch', 'error', 'after', 'cleaner'])
  }
})

test.serial('scoped() makes one value per request', async (t) => {
  let made = 0
  const value = scoped((ctx) => `${ctx.url.pathname} ${made++}`)
  const seen: string[][] = []
  const { native, runtime } = startFakeWorker(async () => {
    const first = value()
    await new Promise(setImmediate)
    seen.push([first, value()])
    return new Response() as never
  })
  native.request({ index: 1, target: '/1' })
  native.request({ index: 2, target: '/2' })
  native.wake()
  await runtime.settled()
  t.deepEqual(seen, [['/1 0', '/1 0'], ['/2 1', '/2 1']])
  t.throws(value, { code: 'ERR_SLUICE_INVALID_STATE' })
  t.not(scope.store, null)
})

test.serial('context() outside a request throws', (t) => {
  t.throws(context, { code: 'ERR_SLUICE_INVALID_STATE' })
})
