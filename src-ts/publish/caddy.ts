import { addressText, preface, refuseProxied, type Site, type Upstream } from './site.ts'

/** A site for a Caddyfile of Caddy ≥ 2.6. X-Forwarded-For, -Proto and -Host are its defaults, and WebSockets need nothing. */
export function caddyConfig(site: Site): string {
  refuseProxied(site, 'Caddy 2.6')
  const proxy = (upstreams: readonly Upstream[], matcher: string): string[] => [
    `reverse_proxy ${matcher}${upstreams.map(address).join(' ')} {`,
    '    lb_policy least_conn',
    '    # Requests that cannot be connected go to the next server when one has gone.',
    '    lb_try_duration 5s',
    '    fail_duration 2s',
    '    header_up X-Real-IP {remote_host}',
    '    header_up X-Real-Port {remote_port}',
    '    header_up X-Forwarded-Port {port}',
    '    header_up Scheme {scheme}',
    '    header_up -Forwarded',
    '    # Answers are passed on as they come.',
    '    flush_interval -1',
    '    transport http {',
    `        keepalive ${site.idle}s`,
    '        dial_timeout 5s',
    `        response_header_timeout ${site.patience}s`,
    '    }',
    '}',
  ]
  return [
    ...preface(site, 'caddy', 'a part of a Caddyfile.'),
    '',
    `${site.serverName === undefined ? ':80' : `http://${site.serverName}`} {`,
    ...[
      ...site.sockets.flatMap(({ path, upstream }) => ['# WebSockets only.', ...proxy([upstream], `${path}* `)]),
      ...proxy(site.upstreams, ''),
    ].map((line) => `    ${line}`),
    '}',
    '',
  ].join('\n')
}

function address(upstream: Upstream): string {
  const text = 'path' in upstream ? `unix/${upstream.path}` : `${upstream.secure ? 'https://' : ''}${addressText(upstream)}`
  return /\s/.test(text) ? `"${text}"` : text
}
