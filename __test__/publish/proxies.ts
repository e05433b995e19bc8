/** Real proxies with the configurations that `sluice publish` prints, in the foreground and on free ports. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** How long a proxy may take to listen, in milliseconds. */
const WAIT_MS = 20_000

export type ProxyName = 'nginx' | 'apache' | 'caddy' | 'haproxy'

const program: Readonly<Record<ProxyName, string>> = { nginx: 'nginx', apache: 'apache2', caddy: 'caddy', haproxy: 'haproxy' }

/** Whether it is installed. In CI all of them are. */
export function hasProxy(name: ProxyName): boolean {
  const { PATH = '' } = process.env
  const found = spawnSync(program[name], ['-v'], { env: pathWithSbin(PATH), stdio: 'ignore' }).error === undefined
  if (!found && process.env['CI'] !== undefined) throw new Error(`${program[name]} is not installed`)
  return found
}

/** Checks a configuration with the proxy itself; what it complains of. */
export function complaint(name: ProxyName, directory: string, text: string): string {
  const args = commandLine(name, directory, text, 80, true)
  const { status, stderr, stdout } = spawnSync(program[name], args, { env: pathWithSbin(), encoding: 'utf8' })
  return status === 0 ? '' : `${status} ${stdout} ${stderr}`
}

/** Starts a proxy; it ends with the test. Gives the address it serves. */
export async function startProxy(t: ExecutionContext, name: ProxyName, directory: string, text: string): Promise<string> {
  const port = await freePort()
  const child = spawn(program[name], commandLine(name, directory, text, port, false), { env: pathWithSbin(), stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  t.teardown(() => end(child))
  const deadline = Date.now() + WAIT_MS
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`${name} does not listen:\n${output}`)
  }
  return `http://127.0.0.1:${port}`
}

/** Puts the part that was printed into what the distribution has around it, and on this port. */
function commandLine(name: ProxyName, directory: string, text: string, port: number, isCheck: boolean): string[] {
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `${name}.conf`)
  const write = (lines: readonly string[]): void => writeFileSync(file, `${lines.join('\n')}\n`)
  switch (name) {
    case 'nginx': {
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((path) => `${path}_temp_path ${directory}/${path};`)
      const isRoot = process.getuid?.() === 0
      write([
        ...(isRoot ? ['user root;'] : []),
        'worker_processes 2;',
        `pid ${directory}/nginx.pid;`,
        `error_log ${directory}/error.log;`,
        'events {}',
        'http {',
        'access_log off;',
        'types { text/html html; text/plain txt; }',
        ...paths,
        text.replace('listen 80;', `listen 127.0.0.1:${port};`),
        '}',
      ])
      return ['-p', directory, '-c', file, ...(isCheck ? ['-t'] : ['-g', 'daemon off;'])]
    }
    case 'apache': {
      const modules = ['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'proxy_wstunnel', 'proxy_balancer', 'lbmethod_byrequests', 'slotmem_shm', 'headers']
      write([
        `ServerRoot ${directory}`,
        'ServerName localhost',
        ...modules.map((module) => `LoadModule ${module}_module /usr/lib/apache2/modules/mod_${module}.so`),
        ...(process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : []),
        `PidFile ${directory}/apache.pid`,
        `DefaultRuntimeDir ${directory}`,
        `ErrorLog ${directory}/error.log`,
        `Listen 127.0.0.1:${port}`,
        text.replace('<VirtualHost *:80>', `<VirtualHost *:${port}>`),
      ])
      return ['-d', directory, '-f', file, ...(isCheck ? ['-t'] : ['-D', 'FOREGROUND'])]
    }
    case 'caddy':
      write(['{', '    admin off', `    storage file_system ${directory}`, '}', text.replace(':80 {', `:${port} {`)])
      return [isCheck ? 'validate' : 'run', '--adapter', 'caddyfile', '--config', file]
    case 'haproxy':
      write([text.replace('bind :80', `bind 127.0.0.1:${port}`)])
      return [...(isCheck ? ['-c'] : ['-db']), '-f', file]
  }
}

function pathWithSbin(path = process.env['PATH'] ?? ''): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${path}:/usr/sbin:/sbin`, XDG_CONFIG_HOME: '/nonexistent', XDG_DATA_HOME: '/nonexistent' }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
