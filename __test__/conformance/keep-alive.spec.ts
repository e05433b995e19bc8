/** RFC 9112 section 9: when a connection goes on and when it ends. */
import { request, post, testServed } from './served.ts'

testServed('a connection carries one request after the other', async (t, served) => {
  const client = await served.connect(t)
  for (let i = 0; i < 5; i++) {
    client.send(request('GET /'))
    const response = await client.response()
    t.is(response.status, 200)
    t.is(response.text, 'hello')
    t.false(response.headers.has('connection'))
  }
})

testServed('an answer has Date, Content-Length and Content-Type, each once, and no Server', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /'))
  const { lines, headers } = await client.response()
  t.deepEqual(lines.map(([name]) => name).sort(), ['content-length', 'content-type', 'date'])
  t.is(headers.get('content-length'), '5')
  t.is(headers.get('content-type'), 'text/plain;charset=UTF-8')
  const date = headers.get('date') ?? ''
  t.is(new Date(date).toUTCString(), date)
  t.true(Math.abs(Date.parse(date) - Date.now()) < 5_000)
})

testServed('serverHeader is sent when it is set', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /'))
  t.is((await client.response()).headers.get('server'), 'conformance')
}, { serverHeader: 'conformance' })

for (const value of ['close', 'CLOSE', 'foo, close', 'close, keep-alive', 'close,']) {
  testServed(`Connection: ${value} ends the connection after the answer`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request('GET /', [`Connection: ${value}`]) + request('GET /never/after-close'))
    const response = await client.response()
    t.is(response.text, 'hello')
    t.is(response.headers.get('connection'), 'close')
    t.deepEqual(await client.ended(), { rest: Buffer.alloc(0), wasReset: false })
  })
}

for (const value of ['keep-alive', 'foo', 'closed', 'x-close']) {
  testServed(`Connection: ${value} does not end it`, async (t, served) => {
    const client = await served.connect(t)
    client.send(request('GET /', [`Connection: ${value}`]) + request('GET /json'))
    t.is((await client.response()).text, 'hello')
    t.is((await client.response()).headers.get('content-type'), 'application/json')
  })
}

testServed('a handler that sets Connection: close ends the connection', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /close'))
  const response = await client.response()
  t.is(response.headers.get('connection'), 'close')
  t.is(response.lines.filter(([name]) => name === 'connection').length, 1)
  t.is((await client.ended()).rest.length, 0)
})

testServed('a handler that throws answers 500 and the connection goes on', async (t, served) => {
  const client = await served.connect(t)
  client.send(request('GET /throw'))
  const response = await client.response()
  t.is(response.status, 500)
  t.notRegex(response.text, /on purpose|at .*app\.mjs/)
  client.send(request('GET /'))
  t.is((await client.response()).text, 'hello')
})

testServed('an answer that leaves the body unread does not make a request of it', async (t, served) => {
  const client = await served.connect(t)
  client.send(post('/ignore-body', request('GET /smuggled')) + request('GET /'))
  t.is((await client.response('POST')).text, 'ignored')
  t.is((await client.response()).text, 'hello')
})

testServed('empty lines in front of a request are skipped', async (t, served) => {
  const client = await served.connect(t)
  client.send(`\r\n${request('GET /')}\r\n\r\n${request('GET /json')}`)
  t.is((await client.response()).text, 'hello')
  t.is((await client.response()).status, 200)
})

testServed('a client that resets its connection disturbs no other', async (t, served) => {
  const client = await served.connect(t)
  const key = `reset-${t.title}`.replaceAll(/\W/g, '')
  client.send(request(`GET /never/${key}`))
  await served.get(t, `/entered/${key}`)
  client.reset()
  t.is(await served.get(t, `/aborted/${key}`), 'aborted')
  t.is(await served.get(t, '/'), 'hello')
})
