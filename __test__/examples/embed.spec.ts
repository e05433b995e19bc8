import test from 'ava'
import { startProgram } from './example.ts'

test('inline.ts answers on its own thread, whose variables the handler sees, and ends on SIGTERM', async (t) => {
  const { command, url } = await startProgram(t, 'examples/embed/inline.ts')
  t.deepEqual(await (await fetch(`${url}/hello`)).json(), { path: '/hello', visits: 1 })
  t.deepEqual(await (await fetch(`${url}/again`)).json(), { path: '/again', visits: 2 })
  command.kill('SIGTERM')
  const { code, signal } = await command.ended
  t.deepEqual({ code, signal }, { code: 0, signal: null })
})

test('workers.ts serves from worker threads, reloads without a failed request and ends on SIGTERM', async (t) => {
  const { command, url } = await startProgram(t, 'examples/embed/workers.ts')
  const { worker, visits } = (await (await fetch(url)).json()) as { worker: number; visits: number }
  t.true(worker === 0 || worker === 1)
  t.is(visits, 1)

  const reloaded = command.said(/reloaded in \d+ ms/)
  command.kill('SIGUSR2')
  for (;;) {
    const next = await Promise.race([reloaded, fetch(url).then(({ status }) => status)])
    if (typeof next !== 'number') break
    t.is(next, 200)
  }

  command.kill('SIGTERM')
  const { code, signal } = await command.ended
  t.deepEqual({ code, signal }, { code: 0, signal: null })
})
