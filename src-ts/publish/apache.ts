import { addressText, preface, refuseProxied, type Site, type Upstream } from './site.ts'

/** A virtual host for Apache ≥ 2.4.47, which passes WebSockets on by mod_proxy_http. */
export function apacheConfig(site: Site): string {
  refuseProxied(site, 'Apache')
  const balancer = (id: string, upstreams: readonly Upstream[]): string[] => [
    `<Proxy "balancer://${host(id)}">`,
    ...upstreams.flatMap((upstream) => member(upstream, site)),
    '    ProxySet lbmethod=byrequests',
    '</Proxy>',
    '',
  ]
  const secure = [...site.upstreams, ...site.sockets.map(({ upstream }) => upstream)].some((upstream) => upstream.secure)
  return [
    ...preface(site, 'apache', 'a file for /etc/apache2/sites-available.'),
    '# a2enmod proxy proxy_http proxy_wstunnel proxy_balancer lbmethod_byrequests slotmem_shm headers',
    '',
    ...balancer(site.id, site.upstreams),
    ...site.sockets.flatMap(({ id, upstream }) => balancer(id, [upstream])),
    '<VirtualHost *:80>',
    ...(site.serverName === undefined ? [] : [`    ServerName ${site.serverName}`]),
    '    ProxyPreserveHost On',
    ...(secure ? ['    SSLProxyEngine On'] : []),
    `    # The server's own bound of a body that is read as a whole. What streams longer bodies needs more here.`,
    `    LimitRequestBody ${site.bodyBytes}`,
    '    # X-Forwarded-For and X-Forwarded-Host are added by mod_proxy.',
    '    RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}"',
    '    RequestHeader set X-Forwarded-Port "expr=%{SERVER_PORT}"',
    '    RequestHeader set X-Real-IP "expr=%{REMOTE_ADDR}"',
    '    RequestHeader set X-Real-Port "expr=%{REMOTE_PORT}"',
    '    RequestHeader set Scheme "expr=%{REQUEST_SCHEME}"',
    '    RequestHeader unset Forwarded',
    ...site.sockets.map(({ id, path }) => `    ProxyPass "${path}" "balancer://${host(id)}${path}"`),
    `    ProxyPass "/" "balancer://${host(site.id)}/"`,
    `    ProxyPassReverse "/" "balancer://${host(site.id)}/"`,
    '</VirtualHost>',
    '',
  ].join('\n')
}

/** An underscore is no part of a host name to Apache. */
const host = (id: string): string => id.replaceAll('_', '-')

function member(upstream: Upstream, { idle, patience }: Site): string[] {
  if ('path' in upstream && upstream.path.startsWith('@')) return [`    # Apache cannot connect to ${upstream.path}.`]
  const scheme = upstream.secure ? 'https' : 'http'
  const url = 'path' in upstream ? `unix:${upstream.path}|${scheme}://localhost` : `${scheme}://${addressText(upstream)}`
  // The time limit is longer than an answer may take, and than a WebSocket is silent between two pings.
  return [`    BalancerMember "${url}" upgrade=websocket retry=2 connectiontimeout=5 timeout=${patience} ttl=${idle}`]
}
