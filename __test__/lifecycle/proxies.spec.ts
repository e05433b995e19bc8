/** Who the client is, behind peers that are trusted and others. */
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { type Config, createServer } from 'sluice'

import { RawClient } from '../support/raw-client.ts'
import { portOf, startServer } from '../support/server.ts'

const app = fileURLToPath(new URL('../fixtures/proxied.mjs', import.meta.url))

/** What the app sees of a request that begins with `before` and has these fields. */
async function ask(t: ExecutionContext, config: Config, fields = '', before = ''): Promise<unknown> {
  const server = await startServer(t, { app, workers: 1, ...config })
  const client = await RawClient.connect(portOf(server))
  t.teardown(() => client.destroy())
  client.send(`${before}GET / HTTP/1.1\r\nHost: inner.test\r\n${fields}\r\n`)
  const { body } = await client.response('GET')
  return JSON.parse(String(body))
}

const fields = 'X-Forwarded-For: 6.6.6.6, 192.0.2.1:4711, 10.0.0.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.test\r\n'

test('fields are believed of a listed peer', async (t) => {
  const seen = await ask(t, { proxy: { trust: ['127.0.0.0/8', '10.0.0.0/8'] } }, fields)
  t.deepEqual(seen, { ip: '192.0.2.1', port: 4711, scheme: 'https', host: 'outer.test', chain: ['192.0.2.1', '10.0.0.7'], peer: '127.0.0.1' })
})

test('fields are not believed of others', async (t) => {
  for (const config of [{}, { proxy: { trust: ['10.0.0.0/8', 'unix'] } }]) {
    t.like(await ask(t, config, fields), { ip: '127.0.0.1', scheme: 'http', host: 'inner.test', chain: null })
  }
})

test('a PROXY header names the peer, and fields of that peer count only if it is listed', async (t) => {
  const proxy = { trust: ['127.0.0.1'], protocol: 'auto' } as const
  const seen = await ask(t, { proxy }, fields, 'PROXY TCP4 198.51.100.1 10.0.0.1 56324 443\r\n')
  t.deepEqual(seen, { ip: '198.51.100.1', port: 56_324, scheme: 'http', host: 'inner.test', chain: null, peer: '198.51.100.1' })
  const chained = await ask(t, { proxy: { ...proxy, trust: ['127.0.0.1', '198.51.100.0/24'] } }, 'X-Forwarded-For: 192.0.2.1\r\n', 'PROXY TCP4 198.51.100.1 10.0.0.1 56324 443\r\n')
  t.like(chained, { ip: '192.0.2.1', port: 0, chain: ['192.0.2.1'], peer: '198.51.100.1' })
})

test('a port has its own proxies', async (t) => {
  const server = await startServer(t, { app, workers: 1, proxy: { trust: ['127.0.0.1'], protocol: 'v1' }, ports: { inner: { protocol: 'http', listen: { port: 0 }, proxy: { protocol: false, headers: 'x-real' } } } })
  const answer = await fetch(server.port('inner').url, { headers: { 'x-real-ip': '192.0.2.1', 'x-real-port': '7', scheme: 'https' } })
  t.like(await answer.json(), { ip: '192.0.2.1', port: 7, scheme: 'https' })
})

test('options that cannot be meant are refused', async (t) => {
  const fails = (proxy: object, message: string) => t.throwsAsync(createServer({ app, stateDir: false, listen: { port: 0 }, proxy }), { code: 'ERR_SLUICE_INVALID_OPTION', message })
  await fails({ protocol: 'v1' }, 'proxy.protocol needs proxy.trust, the peers that may send a PROXY header')
  for (const entry of ['localhost', '10.0.0.0/33', '::1/129', '10.0.0.1/', '1.2.3.4/8/8', 'fe80::1%lo']) {
    await fails({ trust: [entry] }, `proxy.trust[0] must be an IP address, a range such as "10.0.0.0/8" or "unix", got ${JSON.stringify(entry)}`)
  }
})
