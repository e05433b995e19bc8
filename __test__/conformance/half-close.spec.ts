/** RFC 9112 section 9.6: a client may close its half and still wait for the answer. */
import { randomUUID } from 'node:crypto'
import { post, request, testServed } from './served.ts'

testServed('a request whose client has closed its half is answered', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /'))
  client.halfClose()
  t.is((await client.response()).text, 'hello')
  t.deepEqual(await client.ended(), { rest: Buffer.alloc(0), wasReset: false })
})

testServed('so are all requests of a pipeline', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /stream/a') + request('GET /stream/b') + request('GET /stream/c'))
  client.halfClose()
  for (const name of ['a', 'b', 'c']) t.is((await client.response()).text, name)
  t.is((await client.ended()).rest.length, 0)
})

testServed('requests that had to wait for the one in front of them are answered too', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(post(`/wait/${key}/first`, '') + post('/echo', 'second') + request('GET /').repeat(50))
  await served.get(t, `/entered/${key}`)
  client.halfClose()
  await served.get(t, `/release/${key}`)
  t.is((await client.response('POST')).text, 'first')
  t.is((await client.response('POST')).text, 'second')
  for (let i = 0; i < 50; i++) t.is((await client.response()).text, 'hello')
  t.is((await client.ended()).rest.length, 0)
})

testServed('the answer arrives when the handler is still at work at the half-close', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(request(`GET /wait/${key}/late`))
  await served.get(t, `/entered/${key}`)
  client.halfClose()
  await served.get(t, `/release/${key}`)
  t.is((await client.response()).text, 'late')
  t.is((await client.ended()).rest.length, 0)
})

testServed('ctx.signal aborts at the half-close, and an answer given then still arrives', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(request(`GET /never/${key}`))
  await served.get(t, `/entered/${key}`)
  client.halfClose()
  t.is(await served.get(t, `/aborted/${key}`), 'aborted')
  t.is((await client.response()).text, 'too late')
  t.is((await client.ended()).rest.length, 0)
})

testServed('ctx.signal aborts when the client resets', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(request(`GET /never/${key}`))
  await served.get(t, `/entered/${key}`)
  client.reset()
  t.is(await served.get(t, `/aborted/${key}`), 'aborted')
})

testServed('a half-close in the middle of a head ends the connection without running anything', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /').slice(0, -2))
  client.halfClose()
  const { rest } = await client.ended()
  t.notRegex(rest.toString('latin1'), /^HTTP\/1\.1 2/)
})

for (const size of [1_000, 1_000_000]) {
  testServed(`a half-close in the middle of a body of ${size} bytes never looks like a whole body`, async (t, served) => {
    const client = await served.connect(t)
    client.send(post('/echo', 'x'.repeat(size)).slice(0, -1))
    client.halfClose()
    const { rest } = await client.ended()
    t.notRegex(rest.toString('latin1', 0, 64), /^HTTP\/1\.1 2/)
  })
}

testServed('a half-close between requests ends the connection', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /'))
  await client.response()
  client.halfClose()
  t.deepEqual(await client.ended(), { rest: Buffer.alloc(0), wasReset: false })
})
