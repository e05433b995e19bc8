import { addressText, preface, type Site, type Upstream } from './site.ts'

/** A frontend and its backends for HAProxy ≥ 2.4. */
export function haproxyConfig(site: Site): string {
  return [
    ...preface(site, 'haproxy', 'a part of /etc/haproxy/haproxy.cfg.'),
    '',
    `frontend ${site.id}`,
    '    mode http',
    '    bind :80',
    ...(site.serverName === undefined ? [] : [`    acl ${site.id}_host hdr(host),field(1,:) -i ${site.serverName}`, `    http-request deny deny_status 421 unless ${site.id}_host`]),
    `    timeout client ${site.patience}s`,
    '    timeout http-request 10s',
    `    timeout http-keep-alive ${site.idle}s`,
    '    option forwardfor',
    '    http-request set-header X-Forwarded-Proto https if { ssl_fc }',
    '    http-request set-header X-Forwarded-Proto http unless { ssl_fc }',
    '    http-request set-header X-Forwarded-Host %[req.hdr(host)]',
    '    http-request set-header X-Forwarded-Port %[dst_port]',
    '    http-request set-header X-Real-IP %[src]',
    '    http-request set-header X-Real-Port %[src_port]',
    '    http-request set-header Scheme https if { ssl_fc }',
    '    http-request set-header Scheme http unless { ssl_fc }',
    '    http-request del-header Forwarded',
    ...site.sockets.map(({ id, path }) => `    use_backend ${id} if { path_beg ${path} }`),
    `    default_backend ${site.id}`,
    '',
    ...backend(site.id, site.upstreams, site),
    ...site.sockets.flatMap(({ id, upstream }) => ['', ...backend(id, [upstream], site)]),
    '',
  ].join('\n')
}

function backend(id: string, upstreams: readonly Upstream[], { patience }: Site): string[] {
  return [
    `backend ${id}`,
    '    mode http',
    '    balance leastconn',
    '    timeout connect 5s',
    '    # Longer than an answer may take, and than a WebSocket is silent between two pings.',
    `    timeout server ${patience}s`,
    `    timeout tunnel ${patience}s`,
    '    # Requests that may be repeated go to the next server when one has gone.',
    '    option redispatch 1',
    '    retries 3',
    '    retry-on conn-failure empty-response',
    '    http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE }',
    ...upstreams.map((upstream, index) => server(upstream, index + 1)),
  ]
}

function server(upstream: Upstream, number: number): string {
  if ('path' in upstream && upstream.path.startsWith('@')) return `    # HAProxy cannot connect to ${upstream.path}.`
  const address = 'path' in upstream ? `unix@${upstream.path.replaceAll(' ', '\\ ')}` : addressText(upstream)
  // What the certificate is to be checked against is known to whoever has made it.
  return `    server s${number} ${address} check inter 2s${upstream.secure ? ' ssl verify none' : ''}${proxyHeader(upstream)}`
}

function proxyHeader({ proxy }: Upstream): string {
  return proxy === undefined ? '' : proxy === 'v1' ? ' send-proxy' : ' send-proxy-v2'
}
