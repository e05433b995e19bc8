/** No value that an app puts into a response can become a line of its own, whichever way it goes in. */
import { post, request, testServed } from './served.ts'

const ways = ['object', 'pairs', 'json', 'set', 'append'] as const

const attacks: Record<string, readonly [name: string, value: string]> = {
  'CRLF in a value': ['x-test', 'a\r\nset-cookie: evil=1'],
  'LF in a value': ['x-test', 'a\nset-cookie: evil=1'],
  'CR in a value': ['x-test', 'a\rset-cookie: evil=1'],
  'NUL in a value': ['x-test', 'a\0b'],
  'a character that ends in CR when cut to a byte': ['x-test', 'a\u010d\u010aset-cookie: evil=1'],
  'CRLF in a name': ['x-test: a\r\nset-cookie', 'evil=1'],
  'a colon in a name': ['set-cookie: evil=1; x', '1'],
  'a space in a name': ['x test', '1'],
  'an empty name': ['', 'set-cookie: evil=1'],
}

for (const way of ways) {
  for (const [what, attack] of Object.entries(attacks)) {
    testServed(`${what} by ${way} throws and sends nothing of it`, async (t, served) => {
      const client = await served.connect(t)
      client.send(post(`/splitting/${way}`, unicodeEscaped(attack)) + request('GET /'))
      const response = await client.response('POST')
      t.false(response.headers.has('set-cookie'))
      const thrown = JSON.parse(response.text) as { name?: string; code?: string }
      t.is(thrown.name, 'TypeError')
      // `headers` of a Response is the standard class, whose errors are its own.
      if (way !== 'set' && way !== 'append') t.is(thrown.code, 'ERR_SLUICE_INVALID_ARG')
      t.is((await client.response()).text, 'hello')
    })
  }

  testServed(`a clean value by ${way} is sent`, async (t, served) => {
    const client = await served.connect(t)
    client.send(post(`/splitting/${way}`, unicodeEscaped(['X-Test', 'caf\xe9 \t;"'])))
    t.is((await client.response('POST')).headers.get('x-test'), 'caf\xe9 \t;"')
  })
}

testServed('statusText never makes a line', async (t, served) => {
  const client = await served.connect(t)
  client.send(post('/splitting/status-text', unicodeEscaped(['', 'OK\r\nset-cookie: evil=1'])) + request('GET /'))
  t.false((await client.response('POST')).headers.has('set-cookie'))
  t.is((await client.response()).text, 'hello')
})

testServed('Response.redirect encodes its target', async (t, served) => {
  const client = await served.connect(t)
  client.send(post('/splitting/redirect', unicodeEscaped(['', 'a\r\nset-cookie: evil=1'])) + request('GET /'))
  t.false((await client.response('POST')).headers.has('set-cookie'))
  t.is((await client.response()).text, 'hello')
})

testServed('framing belongs to the server: an app cannot set Transfer-Encoding, Keep-Alive or a false Content-Length', async (t, served) => {
  for (const [name, value] of [
    ['transfer-encoding', 'chunked'],
    ['keep-alive', 'timeout=1'],
    ['content-length', '999'],
  ] as const) {
    const client = await served.connect(t)
    client.send(post('/splitting/object', unicodeEscaped([name, value])) + request('GET /'))
    const response = await client.response('POST')
    t.is(response.text, 'sent', name)
    t.is(response.framing, 'length')
    t.is((await client.response()).text, 'hello')
  }
})

/** JSON in ASCII, because the raw client's strings are latin1. */
function unicodeEscaped(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[\x7f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
