/** RFC 9112 section 9.3.2: answers come in the order of the requests, and unsafe requests never run beside others. */
import { randomUUID } from 'node:crypto'
import { post, request, testServed } from './served.ts'

testServed('100 pipelined requests are answered in order', async (t, served) => {
  const client = await served.connect(t)
  const names = Array.from({ length: 100 }, (_, i) => `part-${i}`)
  client.send(names.map((name) => request(`GET /stream/${name}`)).join(''))
  for (const name of names) t.is((await client.response()).text, name)
})

testServed('a slow first answer holds the later ones back, not their handlers', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(request(`GET /wait/${key}/first`) + request(`GET /note/${key}`) + request('GET /'))
  await served.get(t, `/entered/${key}`)
  let log: string[]
  do log = JSON.parse(await served.get(t, `/log/${key}`)) as string[]
  while (!log.includes('GET'))
  t.is(client.received, 0)
  await served.get(t, `/release/${key}`)
  t.is((await client.response()).text, 'first')
  t.is((await client.response()).text, 'noted')
  t.is((await client.response()).text, 'hello')
})

for (const [first, second] of [
  ['POST', 'POST'],
  ['GET', 'POST'],
  ['POST', 'GET'],
  ['DELETE', 'GET'],
] as const) {
  testServed(`${second} does not start before a pipelined ${first} is answered`, async (t, served) => {
    const client = await served.connect(t)
    const key = randomUUID()
    client.send(emptyRequest(first, `/wait/${key}/first`) + emptyRequest(second, `/wait/${key}/second`))
    await served.get(t, `/entered/${key}`)
    // Each is a request that the same reactor and worker have carried out since: time enough to start the second.
    for (let i = 0; i < 10; i++) await served.get(t, '/')
    t.deepEqual(JSON.parse(await served.get(t, `/log/${key}`)), ['enter first'])
    await served.get(t, `/release/${key}`)
    t.is((await client.response(first)).text, 'first')
    t.is((await client.response(second)).text, 'second')
    t.deepEqual(JSON.parse(await served.get(t, `/log/${key}`)), ['enter first', 'leave first', 'enter second', 'leave second'])
  })
}

testServed('a refused request is answered behind the ones in front of it', async (t, served) => {
  const client = await served.connect(t)
  const key = randomUUID()
  client.send(`${request(`GET /wait/${key}/first`)}GET / HTTP/1.1\r\nHost : bad\r\n\r\n${request('GET /')}`)
  await served.get(t, `/entered/${key}`)
  await served.get(t, `/release/${key}`)
  t.is((await client.response()).text, 'first')
  const refused = await client.response()
  t.is(refused.status, 400)
  t.is(refused.headers.get('connection'), 'close')
  t.is((await client.ended()).rest.length, 0)
})

testServed('a streamed answer is whole before the next begins', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /stream/a/b/c') + request('GET /'))
  t.is((await client.response()).text, 'abc')
  t.is((await client.response()).text, 'hello')
})

testServed('HEAD, 204 and 304 in a pipeline leave no byte of a body behind', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('HEAD /') + request('GET /status/204') + request('GET /status/304') + request('GET /'))
  t.is((await client.response('HEAD')).headers.get('content-length'), '5')
  t.is((await client.response()).status, 204)
  t.is((await client.response()).status, 304)
  t.is((await client.response()).text, 'hello')
})

function emptyRequest(method: string, path: string): string {
  return method === 'POST' ? post(path, '') : request(`${method} ${path}`)
}
