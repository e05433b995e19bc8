/** What `sluice publish` prints, and real proxies that run on it. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect } from 'node:net'
import ava from 'ava'
import { WebSocket } from 'ws'

import { parseConfig } from '../../src-ts/options.ts'
import { apacheConfig } from '../../src-ts/publish/apache.ts'
import { caddyConfig } from '../../src-ts/publish/caddy.ts'
import { haproxyConfig } from '../../src-ts/publish/haproxy.ts'
import { nginxConfig } from '../../src-ts/publish/nginx.ts'
import { type PortFacts, siteOf } from '../../src-ts/publish/site.ts'
import { type Command, Workplace } from '../cli/command.ts'
import { complaint, hasProxy, type ProxyName, startProxy } from './proxies.ts'

// Each starts several processes.
const test = ava.serial

const writers = { nginx: nginxConfig, apache: apacheConfig, caddy: caddyConfig, haproxy: haproxyConfig }
const proxies = Object.keys(writers) as ProxyName[]

const shop = parseConfig({
  name: 'shop',
  app: 'app.js',
  listen: [{ port: 5200 }, { path: '/run/shop/web.sock' }],
  ports: {
    live: { protocol: 'websocket', listen: { port: 5201 }, heartbeat: { ping: 90_000 } },
    admin: { protocol: 'http', listen: { port: 5202 } },
  },
  limits: { keepAliveTimeout: 30_000 },
})
const shopPorts: PortFacts[] = [
  { name: 'main', protocol: 'http', url: 'http://127.0.0.1:5200' },
  { name: 'main2', protocol: 'http', url: 'unix:/run/shop/web.sock' },
  { name: 'live', protocol: 'websocket', url: 'http://127.0.0.1:5201' },
  { name: 'admin', protocol: 'http', url: 'http://127.0.0.1:5202' },
]
const shopSite = siteOf(shop, shopPorts, { serverName: 'shop.example.com', upstreams: ['10.0.0.2:5200'] })

for (const proxy of proxies) {
  test(`the configuration of ${proxy} is the one in golden/${proxy}.conf`, (t) => {
    const golden = new URL(`golden/${proxy}.conf`, import.meta.url)
    if (process.env['SLUICE_WRITE_GOLDEN']) writeFileSync(golden, writers[proxy](shopSite))
    t.is(writers[proxy](shopSite), readFileSync(golden, 'utf8'))
  })

  const checked = hasProxy(proxy) ? test : test.skip
  checked(`${proxy} finds no fault with its configuration`, (t) => {
    const place = new Workplace(t)
    t.is(complaint(proxy, place.file('check'), writers[proxy](shopSite)), '')
    t.is(complaint(proxy, place.file('check'), writers[proxy](siteOf(shop, shopPorts))), '')
    t.not(complaint(proxy, place.file('check'), 'this { is no configuration'), '')
  })
}

test('a proxy is patient for longer than the server, and keeps connections for less long', (t) => {
  const site = (config: object) => siteOf(parseConfig({ app: 'app.js', listen: { port: 1 }, ...config }), [{ name: 'main', protocol: 'http', url: 'http://127.0.0.1:1' }])
  t.like(site({}), { patience: 75, idle: 60, bodyBytes: 4_194_304, id: 'sluice_app' })
  t.is(site({ heartbeat: { ping: 100_000, pongTimeout: 10_000 } }).patience, 115)
  t.is(site({ heartbeat: { ping: false } }).patience, 86_400)
  t.is(site({ limits: { answerTimeout: 0 } }).patience, 86_400)
  t.is(site({ limits: { keepAliveTimeout: 20_000 } }).idle, 15)
  t.is(site({ limits: { keepAliveTimeout: 1_000 } }).idle, 1)
})

test('addresses are those that can be connected to', (t) => {
  const upstreams = (url: string) => siteOf(shop, [{ name: 'main', protocol: 'http', url }]).upstreams
  t.deepEqual(upstreams('http://localhost:80'), [{ host: '127.0.0.1', port: 80, secure: false }])
  t.deepEqual(upstreams('http://[::]:8080'), [{ host: '[::1]', port: 8080, secure: false }])
  t.deepEqual(upstreams('https://[::1]:8443'), [{ host: '[::1]', port: 8443, secure: true }])
  t.deepEqual(upstreams('unix:/run/a b.sock'), [{ path: '/run/a b.sock', secure: false }])
  const plain = { name: 'main', protocol: 'http', url: 'http://127.0.0.1:80' }
  const secure = { name: 'main2', protocol: 'http', url: 'unix:/run/a.sock', tls: true }
  t.deepEqual(siteOf(shop, [plain, secure]).upstreams, [{ host: '127.0.0.1', port: 80, secure: false }])
  t.deepEqual(siteOf(shop, [secure], { upstreams: ['a:443'] }).upstreams, [{ path: '/run/a.sock', secure: true }, { host: 'a', port: 443, secure: true }])
  t.regex(nginxConfig(siteOf(shop, [secure])), /proxy_pass https:/)
  t.throws(() => upstreams('http://127.0.0.1:0'), { code: 'ERR_SLUICE_NOT_RUNNING' })
  t.throws(() => upstreams('fd:web'), { code: 'ERR_SLUICE_NOT_RUNNING' })
  t.throws(() => siteOf(shop, []), { code: 'ERR_SLUICE_INVALID_OPTION' })
  t.throws(() => siteOf(shop, [{ ...shopPorts[0]!, error: 'in use' }]), { code: 'ERR_SLUICE_INVALID_OPTION' })
})

test('a port that expects a PROXY header is one for HAProxy, and left out where there is another', (t) => {
  const listen = [{ port: 5200 }, { port: 5201 }]
  const proxied = parseConfig({ app: 'app.js', listen, proxy: { trust: ['127.0.0.1'], protocol: 'auto', headers: 'forwarded' } })
  const ports = [{ name: 'main', protocol: 'http', url: 'http://127.0.0.1:5200' }]
  const site = siteOf(proxied, ports, { upstreams: ['a:1'] })
  t.deepEqual(site.upstreams, [{ host: '127.0.0.1', port: 5200, secure: false, proxy: 'v2' }, { host: 'a', port: 1, secure: false, proxy: 'v2' }])
  t.regex(haproxyConfig(site), /server s1 127\.0\.0\.1:5200 check inter 2s send-proxy-v2\n.*send-proxy-v2/)
  t.regex(haproxyConfig(site), /`proxy\.headers` is "forwarded"/)
  for (const write of [nginxConfig, apacheConfig, caddyConfig]) t.throws(() => write(site), { code: 'ERR_SLUICE_INVALID_OPTION', message: /PROXY header/ })
  t.notRegex(haproxyConfig(shopSite), /send-proxy|is "forwarded"/)
})

test('nothing that is not a name or an address gets into a configuration', (t) => {
  for (const path of ['/a"b', '/a;\nb', '/a$b', '/a\\b', '/a}b', "/a'b"]) t.throws(() => siteOf(shop, [{ name: 'main', protocol: 'http', url: `unix:${path}` }]), { code: 'ERR_SLUICE_INVALID_OPTION' }, path)
  for (const serverName of ['a b', 'a;b', 'a{b', '', 'a\nb']) t.throws(() => siteOf(shop, shopPorts, { serverName }), { code: 'ERR_SLUICE_INVALID_OPTION' }, serverName)
  for (const upstream of ['a', 'a:0', 'a:65536', 'a b:1', 'http://a:1', '/a"b']) t.throws(() => siteOf(shop, shopPorts, { upstreams: [upstream] }), { code: 'ERR_SLUICE_INVALID_OPTION' }, upstream)
})

/** Answers with what it sees of a request; WebSockets get their messages back. */
const echo = `
export default {
  async fetch(request, ctx) {
    if (request.headers.has('upgrade')) return ctx.upgrade()
    const { pathname } = new URL(request.url)
    if (pathname === '/who') return new Response(String(process.pid))
    if (request.method === 'POST') return new Response(String((await request.text()).length))
    return Response.json({ pathname, ...Object.fromEntries(request.headers) })
  },
  websocket: { message: (ws, data) => void ws.send(data) },
}
`
const config = (listen: string) => `export default { name: 'shop', app: 'app.mjs', workers: 1, listen: ${listen}, ports: { live: { protocol: 'websocket', listen: { port: 0 } } }, limits: { bodyBytes: 100000 } }`

/** A server that runs on this address. */
async function serve(place: Workplace): Promise<Command> {
  chmodSync(place.path, 0o755)
  const server = place.spawn(['start'])
  await server.said(/stop: /)
  return server
}

function echoed(url: string): Promise<string> {
  const socket = new WebSocket(url.replace('http', 'ws'))
  return new Promise<string>((resolve, reject) => {
    socket.on('open', () => socket.send('there and back'))
    socket.on('message', (data) => resolve(String(data)))
    socket.on('close', (code) => reject(new Error(`closed with ${code}`)))
    socket.on('error', reject)
  }).finally(() => socket.terminate())
}

/** Apache and Caddy choose another server only for requests that they could not send. */
const repeats: ReadonlySet<ProxyName> = new Set(['nginx', 'haproxy'])

for (const proxy of proxies) {
  const real = hasProxy(proxy) ? test : test.skip
  for (const [kind, listen] of [['TCP', '{ port: 0 }'], ['unix', "{ path: 'web.sock', mode: 0o666 }"]] as const) {
    real(`${proxy} in front of a ${kind} port passes requests, bodies, headers and WebSockets on`, async (t) => {
      const place = new Workplace(t, { 'app.mjs': echo, 'sluice.config.mjs': config(listen) })
      await serve(place)
      t.like(await place.run(['publish', proxy, '-o', 'proxy.conf']), { code: 0, stdout: '', stderr: '' })
      const url = await startProxy(t, proxy, place.file('proxy'), readFileSync(place.file('proxy.conf'), 'utf8'))

      const headers = (await (await fetch(`${url}/a/b?c`)).json()) as Record<string, string>
      const { host, port } = new URL(url)
      t.like(headers, { pathname: '/a/b', host, 'x-forwarded-for': '127.0.0.1', 'x-forwarded-host': host, 'x-forwarded-port': port, 'x-forwarded-proto': 'http', 'x-real-ip': '127.0.0.1' })
      t.regex(headers['x-real-port']!, /^\d+$/)
      // A client cannot say who it is by a field that the proxy does not write.
      t.is(((await (await fetch(url, { headers: { forwarded: 'for=1.2.3.4', scheme: 'https' } })).json()) as Record<string, string>)['forwarded'], undefined)
      t.is(headers['scheme'], 'http')
      t.is(await (await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) })).text(), '100000')
      t.is((await fetch(url, { method: 'POST', body: 'x'.repeat(200_000) })).status, 413)
      t.is(await echoed(`${url}/chat`), 'there and back')
      t.is(await echoed(`${url}/live`), 'there and back')
    })
  }

  real(`${proxy} loses no request when one of two servers is killed`, async (t) => {
    const places = [0, 1].map(() => new Workplace(t, { 'app.mjs': echo, 'sluice.config.mjs': config('{ port: 0 }') }))
    const [first, second] = (await Promise.all(places.map(serve))) as [Command, Command]
    const { stdout: info } = await places[1]!.run(['info', '--json'])
    const { ports } = JSON.parse(info) as { ports: { name: string; url: string }[] }
    const other = new URL(ports.find(({ name }) => name === 'main')!.url).host
    const { stdout } = await places[0]!.run(['publish', proxy, '--upstream', other])
    const url = await startProxy(t, proxy, places[0]!.file('proxy'), stdout)

    const who = async (): Promise<string> => {
      const response = await fetch(`${url}/who`)
      t.is(response.status, 200)
      return await response.text()
    }
    const seen = new Set<string>()
    while (seen.size < 2) for (const pid of await Promise.all([who(), who(), who(), who()])) seen.add(pid)
    t.deepEqual([...seen].sort(), [`${first.pid}`, `${second.pid}`].sort())
    if (repeats.has(proxy)) {
      // In the middle of requests, which these proxies send again.
      const asked = Array.from({ length: 100 }, () => who())
      second.kill('SIGKILL')
      await Promise.all(asked)
    }
    second.kill('SIGKILL')
    await second.ended
    for (let i = 0; i < 20; i++) t.deepEqual(new Set(await Promise.all([who(), who(), who(), who()])), new Set([`${first.pid}`]))
  })
}

const haproxy = hasProxy('haproxy') ? test : test.skip
haproxy('HAProxy reaches a port that expects a PROXY header, and the server knows the client by it', async (t) => {
  const place = new Workplace(t, {
    'app.mjs': 'export default { fetch: (_request, ctx) => new Response(`${ctx.ip} ${ctx.conn.remotePort}`) }',
    'sluice.config.mjs': `export default { app: 'app.mjs', workers: 1, listen: { port: 0 }, proxy: { trust: ['127.0.0.1'], protocol: 'v2' } }`,
  })
  await serve(place)
  const { stdout } = await place.run(['publish', 'haproxy'])
  const url = await startProxy(t, 'haproxy', place.file('proxy'), stdout)
  const { port } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1').setEncoding('utf8')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  t.regex(String((await once(socket, 'data'))[0]), new RegExp(`127\\.0\\.0\\.1 ${socket.localPort}`))
})

test('nginx sends the files of a root, and the server what nginx does not find', async (t) => {
  if (!hasProxy('nginx')) return t.pass()
  const place = new Workplace(t, {
    'app.mjs': echo,
    'public/page.html': 'a page',
    'public/.secret': 'secret',
    'sluice.config.mjs': `export default { app: 'app.mjs', workers: 1, listen: { port: 0 }, static: [{ root: 'public', cacheControl: 'max-age=60' }, { root: 'public', prefix: '/assets' }] }`,
  })
  mkdirSync(place.file('public/folder'))
  await serve(place)
  const { stdout } = await place.run(['publish', 'nginx'])
  // Whoever answers, the proxy tells its own name.
  const url = await startProxy(t, 'nginx', place.file('proxy'), stdout.replace('proxy_http_version', 'add_header x-by $upstream_addr always;\nproxy_http_version'))
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${url}${path}`, init)
    return { text: await response.text(), status: response.status, cache: response.headers.get('cache-control'), by: response.headers.get('x-by') }
  }
  t.like(await ask('/page.html'), { text: 'a page', status: 200, cache: 'max-age=60', by: null })
  t.like(await ask('/assets/page.html'), { text: 'a page', status: 200 })
  t.is((await ask('/.secret')).status, 403)
  t.is((await ask('/assets/.secret')).status, 403)
  t.like(JSON.parse((await ask('/nothing')).text), { pathname: '/nothing' })
  t.like(JSON.parse((await ask('/assets/nothing')).text), { pathname: '/assets/nothing' })
  t.like(JSON.parse((await ask('/folder/')).text), { pathname: '/folder/' })
  t.is((await ask('/nothing', { method: 'POST', body: 'xyz' })).text, '3')
})

test('without a server that runs, what the configuration says is printed', async (t) => {
  const place = new Workplace(t, { 'app.mjs': echo, 'sluice.config.json': '{ "app": "app.mjs", "listen": { "port": 4711 } }' })
  t.regex((await place.run(['publish', 'nginx'])).stdout, /server 127\.0\.0\.1:4711 /)
  place.write('sluice.config.json', '{ "app": "app.mjs", "listen": { "port": 0 } }')
  const { code, stderr } = await place.run(['publish', 'haproxy'])
  t.is(code, 1)
  t.regex(stderr, /ERR_SLUICE_NOT_RUNNING/)
  t.is((await place.run(['publish', 'squid'])).code, 2)
})
