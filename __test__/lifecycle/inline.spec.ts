import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { serve, server as current, type Server, type ServeOptions } from 'sluice'

import { ask, next, portOf } from '../support/server.ts'

const fetch = (): Response => new Response('inline')

/** A server that stops with its test. */
async function inline(t: ExecutionContext, app: unknown, options?: ServeOptions): Promise<Server> {
  const server = await serve(app, options)
  t.teardown(() => server.shutdown({ timeout: 500 }))
  return server
}

// In this process `current` is whatever server was started last, so these tests run one after the other.
const serial = test.serial

serial('`server` throws where no server runs, and can still be imported, printed and awaited', async (t) => {
  t.throws(() => current.url, { code: 'ERR_SLUICE_NOT_RUNNING', message: /`server\.url`/ })
  t.throws(() => current.stats(), { code: 'ERR_SLUICE_NOT_RUNNING' })
  t.is(await current, current)
})

serial('serve() takes handlers and options in one object', async (t) => {
  const server = await inline(t, { port: 0, hostname: '127.0.0.1', fetch, stateDir: false })
  t.is((await ask(server, '/')).text, 'inline')
  t.is(server.url, `http://127.0.0.1:${portOf(server)}`)
  t.is(current.url, server.url)
  t.like(server.worker, { id: 0, status: 'idle' })
  t.like(server.stats(), { workers: 1, requestCount: 1 })
  t.true(server.health().ready)
})

serial('serve() takes an app, a function or a module beside the options', async (t) => {
  for (const app of [{ fetch }, fetch, { default: { fetch } }, new (class Framework { fetch = fetch })()]) {
    const server = await inline(t, app, { port: 0 })
    t.is((await ask(server, '/')).text, 'inline')
    await server[Symbol.asyncDispose]()
  }
})

serial('serve() answers an error with the app\'s `error`', async (t) => {
  const server = await inline(t, {
    port: 0,
    fetch: () => {
      throw new Error('oh')
    },
    error: (error: unknown) => new Response((error as Error).message, { status: 418 }),
  })
  t.like(await ask(server, '/'), { status: 418, text: 'oh' })
})

serial('serve() refuses what is no app and addresses that contradict each other', async (t) => {
  await t.throwsAsync(serve(42, { port: 0 }), { code: 'ERR_SLUICE_INVALID_ARG' })
  await t.throwsAsync(serve({ port: 0 } as never), { code: 'ERR_SLUICE_INVALID_ARG' })
  await t.throwsAsync(serve({ fetch, port: 0, listen: { port: 0 } }), { code: 'ERR_SLUICE_INVALID_OPTION', message: /`listen`/ })
  await t.throwsAsync(serve({ fetch, prot: 0 } as never), { code: 'ERR_SLUICE_INVALID_OPTION', message: /prot/ })
})

serial('hooks run in the order of the life of the server', async (t) => {
  const order: string[] = []
  const log = (what: string) => (): void => void order.push(what)
  const server = await serve({
    port: 0,
    fetch,
    lifecycle: {
      serverStart: log('serverStart'),
      workerStart: log('workerStart'),
      listening: log('listening'),
      beforeShutdown: log('beforeShutdown'),
      workerExit: (_worker, signal) => void order.push(`workerExit ${signal.aborted}`),
      workerStop: log('workerStop'),
      serverStop: log('serverStop'),
    },
  })
  await server.shutdown()
  t.deepEqual(order, ['serverStart', 'workerStart', 'listening', 'beforeShutdown', 'workerExit true', 'workerStop', 'serverStop'])
  t.true(server.signal.aborted)
})

serial('a workerStart handler that fails fails the start and leaves nothing behind', async (t) => {
  const start = serve({
    port: 0,
    fetch,
    lifecycle: {
      workerStart: () => {
        throw new Error('no')
      },
    },
  })
  await t.throwsAsync(start, { message: 'no' })
  t.throws(() => current.url, { code: 'ERR_SLUICE_NOT_RUNNING' })
})

serial('there is nothing to reload and nobody to replace', async (t) => {
  const server = await inline(t, { port: 0, fetch })
  await t.throwsAsync(server.reload(), { code: 'ERR_SLUICE_INVALID_STATE' })
  await t.throwsAsync(server.stopWorker(), { code: 'ERR_SLUICE_INVALID_STATE' })
  t.is((await ask(server, '/')).status, 200)
})

serial('a message to the master or to all comes back', async (t) => {
  const server = await inline(t, { port: 0, fetch })
  const message = next(server, 'message')
  server.postMessage('all', { a: 1 })
  t.deepEqual(await message, ['main', { a: 1 }])
})

serial('shutdown() waits for the request in hand', async (t) => {
  const request = new EventTarget()
  const server = await serve({
    port: 0,
    fetch: async () => {
      request.dispatchEvent(new Event('begun'))
      await once(request, 'finish')
      return new Response('finished')
    },
  })
  const begun = once(request, 'begun')
  const answer = ask(server, '/')
  await begun
  const stop = server.shutdown()
  request.dispatchEvent(new Event('finish'))
  t.is((await answer).text, 'finished')
  await stop
})
