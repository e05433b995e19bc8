/** Who is measured: how each peer is started, and why it cannot be when it cannot. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaries, missingBinary, missingBuild } from '../support/runtimes.mjs'

const peerFile = (name) => fileURLToPath(new URL(`peers/${name}`, import.meta.url))

/**
 * One process that serves and nothing else. `more` goes into the server block.
 *
 * @returns {Peer}
 */
function nginx(name, root, more = '') {
  const program = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path))
  if (program === undefined) return { name, command: [], missing: 'nginx is not installed: apt-get install nginx-light' }
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nginx-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const port = 20_000 + Math.floor(Math.random() * 10_000)
  const config = join(folder, 'nginx.conf')
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${folder}/pid; error_log stderr;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/octet-stream;
  client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server { listen 127.0.0.1:${port}; root ${root}; ${more} }
}
`
  )
  // It does not say when it listens.
  const ready = `( until curl -s -o /dev/null http://127.0.0.1:${port}/; do sleep 0.05; done; echo port ${port} ) &`
  return { name, command: ['sh', '-c', `${ready} exec ${program} -p ${folder} -c ${config}`] }
}

/**
 * In the order of the tables. `sluice` is what every ratio refers to.
 *
 * @type {Record<string, (root: string) => Peer>}
 * @typedef {{ name: string, command: string[], missing?: string }} Peer
 */
const table = {
  sluice: (root) => ({ name: 'sluice', command: [process.execPath, peerFile('sluice.mjs'), root], missing: missingBuild() }),
  'sluice-app': (root) => ({ name: 'sluice-app', command: [process.execPath, peerFile('sluice.mjs'), root, '--app'], missing: missingBuild() }),
  nginx: (root) => nginx('nginx', root),
  'nginx-cached': (root) => nginx('nginx-cached', root, 'open_file_cache max=1000; open_file_cache_valid 1s; etag on;'),
  bun: (root) => ({ name: 'bun', command: [binaries.bun, peerFile('bun.js'), root], missing: missingBinary(binaries.bun) }),
  node: (root) => ({ name: 'node', command: [process.execPath, peerFile('node.mjs'), root] })
}

/** Every name `--peers` takes. */
export const peerNames = Object.keys(table)

/** @returns {Peer} */
export const resolvePeer = (name, root) => table[name](root)
