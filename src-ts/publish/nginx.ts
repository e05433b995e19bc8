import { addressText, preface, refuseProxied, type Site, type Upstream } from './site.ts'

/** A file for the http context of nginx ≥ 1.15.3: an upstream and a server. */
export function nginxConfig(site: Site): string {
  refuseProxied(site, 'nginx')
  const server = [
    'listen 80;',
    `server_name ${site.serverName ?? '_'};`,
    '',
    `# The server's own bound of a body that is read as a whole. What streams longer bodies needs more here.`,
    `client_max_body_size ${Math.ceil(site.bodyBytes / 1024)}k;`,
    '',
    'proxy_http_version 1.1;',
    'proxy_set_header Host $http_host;',
    'proxy_set_header Upgrade $http_upgrade;',
    `proxy_set_header Connection $${site.id}_connection;`,
    'proxy_set_header X-Real-IP $remote_addr;',
    'proxy_set_header X-Real-Port $remote_port;',
    'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;',
    'proxy_set_header X-Forwarded-Proto $scheme;',
    'proxy_set_header X-Forwarded-Host $http_host;',
    'proxy_set_header X-Forwarded-Port $server_port;',
    'proxy_set_header Scheme $scheme;',
    'proxy_set_header Forwarded "";',
    '',
    '# Longer than an answer may take, and than a WebSocket or an event stream is silent between two pings.',
    `proxy_read_timeout ${site.patience}s;`,
    `proxy_send_timeout ${site.patience}s;`,
    'proxy_connect_timeout 5s;',
    '# Requests that may be repeated go to the next server when one has gone.',
    'proxy_next_upstream error timeout http_502;',
    '',
    ...files(site),
    ...location(hasFiles(site) ? `@${site.id}` : '/', pass(site.id, site.upstreams)),
    ...site.sockets.flatMap(({ id, path, upstream }) => ['', '# WebSockets only.', ...location(path, pass(id, [upstream]))]),
  ]
  return [
    ...preface(site, 'nginx', 'a file for /etc/nginx/conf.d.'),
    '',
    ...upstream(site.id, site.upstreams, site.idle),
    ...site.sockets.flatMap((port) => upstream(port.id, [port.upstream], site.idle)),
    '# With an empty `Connection` nginx keeps its connections to the server.',
    `map $http_upgrade $${site.id}_connection {`,
    '    default upgrade;',
    "    '' '';",
    '}',
    '',
    'server {',
    ...server.map(indented),
    '}',
    '',
  ].join('\n')
}

function upstream(id: string, upstreams: readonly Upstream[], idle: number): string[] {
  return [
    `upstream ${id} {`,
    ...upstreams.map((upstream) => indented(server(upstream))),
    '    keepalive 32;',
    `    keepalive_timeout ${idle}s;`,
    '}',
    '',
  ]
}

function server(upstream: Upstream): string {
  if ('path' in upstream && upstream.path.startsWith('@')) return `# nginx cannot connect to ${upstream.path}.`
  return `server ${quoted('path' in upstream ? `unix:${upstream.path}` : addressText(upstream))} max_fails=1 fail_timeout=2s;`
}

/** All addresses of an upstream speak the same. */
function pass(id: string, upstreams: readonly Upstream[]): string[] {
  return [`proxy_pass ${upstreams.some(({ secure }) => secure) ? 'https' : 'http'}://${id};`]
}

function location(path: string, lines: readonly string[]): string[] {
  return [`location ${path} {`, ...lines.map(indented), '}']
}

/** Roots whose rules nginx can keep itself. The server sends the files of the others, and of these what nginx does not find. */
const plainRoots = (site: Site): Site['static'] => site.static.filter(({ autoindex, prefix, rewrite }) => !autoindex && /^[\w/.-]+$/.test(prefix) && Object.keys(rewrite).length === 0)

const hasFiles = (site: Site): boolean => plainRoots(site).some(({ prefix }) => prefix === '/')

function files(site: Site): string[] {
  const roots = plainRoots(site)
  if (roots.length === 0) return []
  const app = `@${site.id}`
  const locations = roots.flatMap(({ cacheControl, prefix, root }) => {
    const path = prefix.endsWith('/') ? prefix : `${prefix}/`
    const rules = [
      ...(path === '/' ? [`root ${quoted(root)};`, `try_files $uri ${app};`] : [`alias ${quoted(`${root}/`)};`]),
      `disable_symlinks on from=${quoted(root)};`,
      `error_page 403 404 405 = ${app};`,
      ...(cacheControl === undefined ? [] : [`add_header Cache-Control ${quoted(cacheControl)};`]),
    ]
    return location(path, rules)
  })
  return [
    '# nginx sends the files, the server all else: directories, names with a dot in front, symbolic links and what is missing.',
    ...locations,
    ...location('~ /\\.', pass(site.id, site.upstreams)),
    ...(hasFiles(site) ? [] : location(app, pass(site.id, site.upstreams))),
  ]
}

const indented = (line: string): string => (line === '' ? '' : `    ${line}`)

/** Strings with blanks and the like are quoted; paths with quotes or `$` have been refused before, so have control characters. */
function quoted(text: string): string {
  return /^[\w:./[\]@=,-]+$/.test(text) ? text : `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}
