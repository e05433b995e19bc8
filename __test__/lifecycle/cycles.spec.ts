import { readdirSync } from 'node:fs'
import { get } from 'node:http'
import test from 'ava'
import { createServer, serve } from 'sluice'

const mortal = new URL('../fixtures/mortal.mjs', import.meta.url)

function status(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (res) => {
      res.resume()
      res.on('end', () => resolve(res.statusCode))
    }).on('error', reject)
  })
}

/** How many threads there are when no more than `expected` are left: a thread that was joined stands in /proc for a moment longer. */
async function threadsLeft(expected: number): Promise<number> {
  const limit = performance.now() + 5_000
  for (;;) {
    const count = readdirSync('/proc/self/task').length
    if (count <= expected || performance.now() > limit) return count
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test.serial('200 servers after each other in one thread leave no thread and no memory behind', async (t) => {
  const cycle = async (): Promise<void> => {
    const server = await serve({ port: 0, fetch: () => new Response('ok') })
    t.is(await status(server.url), 200)
    await server.shutdown()
  }
  // What is pooled, and what V8 keeps until it collects, is there after the first hundred.
  for (let round = 0; round < 100; round += 1) await cycle()
  const rss = process.memoryUsage().rss
  const threads = readdirSync('/proc/self/task').length
  for (let round = 0; round < 100; round += 1) await cycle()
  t.true((await threadsLeft(threads)) <= threads, `more than ${threads} threads`)
  // A leaked event ring alone would be 100 MiB.
  t.true(process.memoryUsage().rss - rss < 64 * 2 ** 20, `${process.memoryUsage().rss - rss} bytes more`)
})

test.serial('40 worker threads attach and detach in one server, under requests, and each request is answered', async (t) => {
  const server = await createServer({ app: mortal, listen: { port: 0 }, workers: 2, stateDir: false })
  t.teardown(() => server.shutdown())
  const reloaded = new AbortController()
  const asking = (async () => {
    let answers = 0
    while (!reloaded.signal.aborted) {
      t.is(await status(server.url), 200)
      answers += 1
    }
    return answers
  })()
  for (let round = 0; round < 20; round += 1) t.like(await server.reload(), { ok: true })
  reloaded.abort()
  t.true((await asking) > 0)
  t.like(server.stats(), { reloads: 20, crashes: 0, workers: 2 })
})
