import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { sluiceTypeError } from '../errors.ts'
import { apacheConfig } from '../publish/apache.ts'
import { caddyConfig } from '../publish/caddy.ts'
import { haproxyConfig } from '../publish/haproxy.ts'
import { nginxConfig } from '../publish/nginx.ts'
import { siteOf, type Site } from '../publish/site.ts'
import { askInfo, factsOfPort } from './info.ts'
import type { PublishFlags } from './program.ts'
import { resolveConfig } from './resolve-config.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

const writers: Readonly<Record<string, (site: Site) => string>> = { nginx: nginxConfig, apache: apacheConfig, caddy: caddyConfig, haproxy: haproxyConfig }

/** `sluice publish`: prints how a proxy in front of the server is configured. Changes nothing but the file that it is told to write. */
export async function publish(proxy: string, { config: file, output, serverName, upstream }: PublishFlags): Promise<ExitCode> {
  const write = writers[proxy]
  if (write === undefined) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `There is no configuration for ${JSON.stringify(proxy)}, only for ${Object.keys(writers).join(', ')}`)
  const running = await askInfo((await findState(file)).socket)
  const configFile = file ?? running?.configFile
  const config = await resolveConfig(undefined, { state: true, ...(configFile !== undefined && { config: configFile }) })
  const ports = running?.ports ?? config.ports.map(factsOfPort)
  const text = write(siteOf(config, ports, { serverName, upstreams: upstream }))
  if (output === undefined) process.stdout.write(text)
  else writeFileSync(resolve(output), text)
  return 0
}
