/** A client that asks for much and reads nothing costs a bounded amount of memory. */
import { randomUUID } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import { request, testServed, type Served } from './served.ts'

/** What the kernel may take of one connection on its own, on both sides, with the usual sysctl maxima; and room. */
const kernelBuffers = 16 * 1024 * 1024
const sendBuffer = 64 * 1024

/** Asks how much the handler has produced until that stands still. Fails by the client's limits if it never does. */
async function settled(t: ExecutionContext, served: Served, key: string): Promise<number> {
  const client = await served.connect(t)
  let last = -1
  for (let same = 0; same < 200; ) {
    client.send(request(`GET /pulled/${key}`))
    const pulled = Number((await client.response()).text)
    same = pulled === last ? same + 1 : 0
    last = pulled
    if (pulled > 8 * kernelBuffers) break
  }
  return last
}

testServed('a streamed answer stops when nobody reads it, and goes on when somebody does', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.pause()
  client.send(request(`GET /flood/${key}`))
  const pulled = await settled(t, served, key)
  t.true(pulled > 0)
  // All that was produced and not delivered lies in somebody's memory: this bounds ours.
  t.true(pulled < kernelBuffers, `${pulled} bytes were produced for a client that reads nothing`)
  client.resume()
  await client.arrived(pulled + 1024 * 1024)
  client.destroy()
  t.is(await served.get(t, `/aborted/${key}`), 'aborted')
}, { limits: { sendBuffer } })

testServed('answers to a pipeline stop when nobody reads them', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.pause()
  // 62 MiB together, far above what the kernel takes.
  client.send(request('GET /block/65536').repeat(1_000))
  client.send(request(`GET /note/${key}`))
  for (let i = 0; i < 200; i++) await served.get(t, '/')
  t.is(await served.get(t, `/log/${key}`), '[]')
  client.resume()
  for (let i = 0; i < 1_000; i++) t.is((await client.response()).body.length, 65_536)
  t.is((await client.response()).text, 'noted')
}, { limits: { sendBuffer } })

testServed('a client that reads nothing for sendTimeout is reset', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.pause()
  client.send(request(`GET /flood/${key}`))
  t.is(await served.get(t, `/aborted/${key}`), 'aborted')
  client.resume()
  t.true((await client.ended()).wasReset)
}, { isAlone: true, limits: { sendBuffer, sendTimeout: 300 } })
