import test from 'ava'

import { ask, next, startServer } from '../support/server.ts'

const hooks = new URL('../fixtures/hooks.mjs', import.meta.url)

test('the master talks to one worker, and hears its answer', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 2 })
  const answer = next(server, 'message', (_from, data) => String(data).startsWith('pong'))
  server.postMessage(1, 'ping')
  t.deepEqual(await answer, [1, 'pong from 1'])
})

test('a worker talks to the others', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 3 })
  const heard: string[] = []
  const both = next(server, 'message', (_from, data) => {
    if (String(data).includes('hello')) heard.push(String(data))
    return heard.length === 2
  })
  const { worker } = JSON.parse((await ask(server, '/others')).text) as { worker: number }
  await both
  t.deepEqual(
    heard.sort(),
    [0, 1, 2].filter((id) => id !== worker).map((id) => `worker ${id} got "hello" from ${worker}`),
  )
})

test('a buffer can be transferred to a single receiver', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  const buffer = new ArrayBuffer(8)
  t.throws(() => server.postMessage('all', buffer, [buffer]), { code: 'ERR_SLUICE_INVALID_ARG' })
  const heard = next(server, 'message', (_from, data) => String(data).includes('got'))
  server.postMessage(0, buffer, [buffer])
  await heard
  t.is(buffer.byteLength, 0)
})

test('what cannot be cloned is refused, and a message to nobody is dropped', async (t) => {
  const server = await startServer(t, { app: hooks, workers: 1 })
  t.throws(() => server.postMessage(0, () => undefined), { code: 'ERR_SLUICE_INVALID_ARG' })
  t.notThrows(() => server.postMessage(17, 'anybody?'))
})

test('an endless flood to a worker that does not read is refused before it fills the memory', async (t) => {
  const server = await startServer(t, { app: new URL('../fixtures/mortal.mjs', import.meta.url), workers: 1, stuckAfter: false })
  // The worker gets no turn to read while this thread's loop below runs: nobody tells the master what was read.
  t.throws(
    () => {
      for (;;) server.postMessage(0, 'more')
    },
    { code: 'ERR_SLUICE_INVALID_STATE', message: /65536/ },
  )
})
