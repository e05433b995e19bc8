import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { serve, type DetachedRequest, type Server } from 'sluice'
import { RawClient, type RawResponse } from '../support/raw-client.ts'
import { next, portOf, startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/detach.mjs', import.meta.url))

interface News {
  readonly detached?: DetachedRequest
  readonly in?: number
  readonly body?: string
  readonly again?: string
  readonly answered?: boolean
  readonly by?: number
  readonly failed?: string
}

/** The next message of a worker that has `key`. */
async function news(server: Server, key: keyof News): Promise<News> {
  const [, data] = await next(server, 'message', (_from, said) => key in (said as News))
  return data as News
}

/** A request whose answer is waited for, and what its worker said of it. */
async function detached(t: ExecutionContext, server: Server, path = '/', body = ''): Promise<{ request: DetachedRequest; said: News; response: Promise<RawResponse>; client: RawClient }> {
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  const hears = news(server, 'detached')
  client.send(`POST ${path} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const said = await hears
  const response = client.response()
  response.catch(() => undefined)
  return { request: said.detached!, said, response, client }
}

function tell(server: Server, worker: number, request: unknown, answer: string): Promise<News> {
  const done = Promise.race([news(server, 'answered'), news(server, 'failed')])
  server.postMessage(worker, { request, answer })
  return done
}

test('another worker answers what a worker has let go of, and only once', async (t) => {
  const server = await startServer(t, { app, workers: 2 })
  const { request, response, said } = await detached(t, server, '/', 'hello')
  t.is(said.body, 'hello')
  t.is(said.again, 'ERR_SLUICE_INVALID_STATE')
  const other = 1 - said.in!
  t.deepEqual(await tell(server, other, request, 'answered'), { answered: true, by: other })
  t.is((await response).text, `answered by ${other}`)
  t.deepEqual(await tell(server, said.in!, request, 'again'), { answered: false, by: said.in! })
})

test('the worker that let go of it may answer it, too', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const { request, response } = await detached(t, server)
  t.is((await tell(server, 0, request, 'later')).answered, true)
  t.is((await response).text, 'later by 0')
})

test('the answer may be a stream, compressed as its client likes it', async (t) => {
  const server = await startServer(t, { app, workers: 2, compression: true })
  const { request, response, said } = await detached(t, server)
  t.is((await tell(server, 1 - said.in!, request, 'stream')).answered, true)
  const { headers, body } = await response
  t.is(headers.get('content-encoding'), 'gzip')
  t.true(body.length < 100_000)
})

test('it outlives a reload and the death of the worker that let go of it', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const first = await detached(t, server)
  const died = next(server, 'workerError')
  const second = await detached(t, server, '/die')
  await died
  t.true((await server.reload()).ok)
  t.is((await tell(server, 0, first.request, 'first')).answered, true)
  t.is((await tell(server, 0, second.request, 'second')).answered, true)
  t.is((await first.response).text, 'first by 0')
  t.is((await second.response).text, 'second by 0')
})

test('the time limit of the answer goes on', async (t) => {
  const server = await startServer(t, { app, workers: 1, requestTimeout: { hard: 100 } })
  const { request, response } = await detached(t, server)
  t.is((await response).status, 504)
  t.is((await tell(server, 0, request, 'late')).answered, false)
})

test('nobody is answered who has left', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const { client, request } = await detached(t, server)
  client.reset()
  while (server.stats().connections > 0) await new Promise(setImmediate)
  t.is((await tell(server, 0, request, 'gone')).answered, false)
})

test('what a handler gives or throws after it has let go is not sent', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  for (const [path, message] of [['/answers', /detached/], ['/throws', /after detach/]] as const) {
    const error = next(server, 'error')
    const { request, response } = await detached(t, server, path)
    t.regex((await error)[0].message, message)
    t.is((await tell(server, 0, request, 'right')).answered, true)
    t.is((await response).text, 'right by 0')
  }
})

test('what cannot be sent is answered with 500, what breaks off breaks off', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const unsendable = await detached(t, server)
  t.is((await tell(server, 0, unsendable.request, 'unsendable')).failed, 'ERR_SLUICE_INVALID_ARG')
  t.is((await unsendable.response).status, 500)
  const broken = await detached(t, server)
  t.is((await tell(server, 0, broken.request, 'broken')).failed, 'oh')
  await t.throwsAsync(broken.response)
})

test('what is no detached request, and what is no response, is refused and changes nothing', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const { request, response } = await detached(t, server)
  for (const wrong of [undefined, {}, { id: 5 }, { id: 'x' }, { id: `${request.id}0000000000` }, { id: '-1.0.0.0.0' }]) {
    t.is((await tell(server, 0, wrong, 'x')).failed, 'ERR_SLUICE_INVALID_ARG')
  }
  t.is((await tell(server, 0, request, 'nothing')).failed, 'ERR_SLUICE_INVALID_ARG')
  const [lane, index, token] = request.id.split('.')
  for (const id of [`200.${index}.${token}.0.0`, `${lane}.999999.${token}.0.0`, `${lane}.${index}.${Number(token) + 1}.0.0`, `${lane}.${index}.5.0.0`]) {
    t.is((await tell(server, 0, { id }, 'x')).answered, false, id)
  }
  t.is((await tell(server, 0, request, 'right')).answered, true)
  t.is((await response).text, 'right by 0')
})

test('a body that was not read to its end is dropped', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  const { request, response } = await detached(t, server, '/unread', 'x'.repeat(300_000))
  t.is((await tell(server, 0, request, 'short')).answered, true)
  t.is((await response).text, 'short by 0')
})

test('the master answers nobody', async (t) => {
  const server = await startServer(t, { app, workers: 1 })
  await t.throwsAsync(server.respond({ id: '0.0.0.0.0' }, new Response()), { code: 'ERR_SLUICE_INVALID_STATE' })
})

test('an inline server answers later from anywhere', async (t) => {
  const waiting: DetachedRequest[] = []
  const server = await serve({
    port: 0,
    stateDir: false,
    fetch: (_req, ctx) => {
      waiting.push(ctx.detach())
      setImmediate(() => void server.respond(waiting[0]!, new Response('inline')))
    },
  })
  t.teardown(() => server.shutdown({ timeout: 500 }))
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  t.is((await client.response()).text, 'inline')
})
