/** RFC 9112 section 3: forms of the request target, and the Host that goes with them. */
import type { ExecutionContext } from 'ava'
import { request, testServed, type Served } from './served.ts'

async function urlOf(t: ExecutionContext, served: Served, bytes: string): Promise<{ url: string; host: string | null; method: string }> {
  const client = await served.connect(t)
  client.send(bytes)
  return JSON.parse((await client.response()).text) as { url: string; host: string | null; method: string }
}

async function statusOf(t: ExecutionContext, served: Served, bytes: string): Promise<number> {
  const client = await served.connect(t)
  client.send(bytes)
  return (await client.response()).status
}

testServed('origin-form and Host make the url', async (t, served) => {
  const { url } = await urlOf(t, served, 'GET /url?a=b%20c&d=%2F HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n')
  t.is(new URL(url).href, 'http://example.com:8080/url?a=b%20c&d=%2F')
})

testServed('absolute-form wins over Host', async (t, served) => {
  const { url } = await urlOf(t, served, 'GET http://other.example:81/url?x HTTP/1.1\r\nHost: test\r\n\r\n')
  t.is(url, 'http://other.example:81/url?x')
})

testServed('absolute-form without a path means /', async (t, served) => {
  t.is(await statusOf(t, served, 'GET http://other.example HTTP/1.1\r\nHost: other.example\r\n\r\n'), 200)
})

testServed('OPTIONS * is answered', async (t, served) => {
  const status = await statusOf(t, served, request('OPTIONS *'))
  t.true(status < 400, `got ${status}`)
})

testServed('* is for OPTIONS only', async (t, served) => {
  t.is(await statusOf(t, served, request('GET *')), 400)
})

for (const target of ['example.com:443', 'ftp', '', 'url', '//', 'http://', 'http:///url', '/a b', '/a\tb', '/a\x7fb']) {
  testServed(`target ${JSON.stringify(target)} ${target === '//' ? 'is a path' : 'is refused'}`, async (t, served) => {
    t.is(await statusOf(t, served, `GET ${target} HTTP/1.1\r\nHost: test\r\n\r\n`), target === '//' ? 200 : 400)
  })
}

testServed('CONNECT is refused', async (t, served) => {
  t.true([400, 405, 501].includes(await statusOf(t, served, 'CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n')))
})

for (const host of ['example.com', 'example.com:', 'example.com:80', 'EXAMPLE.com', '127.0.0.1', '[::1]', '[::1]:8080', 'a_b', 'a,b', 'xn--bcher-kva.example']) {
  testServed(`Host: ${host} is taken`, async (t, served) => {
    t.is(await statusOf(t, served, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 200)
  })
}

for (const host of ['a b', 'a/b', 'a@b', 'a?b', 'a#b', 'a\\b', '[::1', '::1', 'a:b', 'a:80:90', '<script>', 'a\x00', '"a"', '']) {
  testServed(`Host: ${JSON.stringify(host)} is refused`, async (t, served) => {
    const client = await served.connect(t)
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n${request('GET /')}`)
    t.is((await client.response()).status, 400)
    t.is((await client.ended()).rest.length, 0)
  })
}

testServed('HTTP/1.1 without Host is refused', async (t, served) => {
  t.is(await statusOf(t, served, 'GET / HTTP/1.1\r\n\r\n'), 400)
})

testServed('two Host fields are refused, even the same', async (t, served) => {
  t.is(await statusOf(t, served, 'GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n'), 400)
})

for (const [version, status] of [
  ['HTTP/2.0', 505],
  ['HTTP/3.0', 505],
  ['HTTP/1.2', 505],
  ['HTTP/0.9', 505],
  ['HTTP/1.10', 400],
  ['http/1.1', 400],
  ['HTTP/11', 400],
  ['HTTPS/1.1', 400],
] as const) {
  testServed(`version ${version} is refused with ${status}`, async (t, served) => {
    t.is(await statusOf(t, served, `GET / ${version}\r\nHost: test\r\n\r\n`), status)
  })
}
