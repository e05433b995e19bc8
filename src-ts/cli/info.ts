import type { ResolvedPort } from '../options.ts'
import { schemeOf, shownSocket } from '../port.ts'
import { sluiceVersion } from '../version.ts'
import { ControlClient } from './control-client.ts'
import type { InfoAnswer, PortAnswer } from './control-handlers.ts'
import type { InfoFlags } from './program.ts'
import { resolveConfig } from './resolve-config.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

const ANSWER_MS = 5_000

/** `sluice info`: of the running server, or, when none runs, what a start here would use. */
export async function info({ config, json }: InfoFlags): Promise<ExitCode> {
  const running = await askInfo((await findState(config)).socket)
  const facts = running ?? (await factsOfStart(config))
  process.stdout.write(json ? `${JSON.stringify({ running: running !== undefined, ...facts })}\n` : infoText(facts, running !== undefined))
  return 0
}

type Facts = Pick<InfoAnswer, 'sluice' | 'node' | 'platform' | 'configFile' | 'workers' | 'reactors' | 'ports'> & { pid?: number }

/** What the running server says of itself; undefined when none runs. */
export async function askInfo(socket: string): Promise<InfoAnswer | undefined> {
  const client = await ControlClient.connect(socket).catch(() => undefined)
  try {
    return (await client?.call('info', undefined, ANSWER_MS)) as InfoAnswer | undefined
  } finally {
    client?.close()
  }
}

async function factsOfStart(config: string | undefined): Promise<Facts> {
  const { source, ports, workers, core } = await resolveConfig(undefined, { state: true, ...(config !== undefined && { config }) })
  return {
    sluice: sluiceVersion,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    configFile: source,
    workers,
    reactors: core.threads,
    ports: ports.map(factsOfPort),
  }
}

/** A port of the configuration, as the running server would show it. */
export function factsOfPort({ name, protocol, listen, tls }: ResolvedPort): PortAnswer {
  return { name, protocol, url: urlOf(listen, schemeOf(protocol, tls !== undefined)), tls: tls !== undefined }
}

function urlOf(listen: ResolvedPort['listen'], scheme: string): string {
  if ('path' in listen) return `unix:${shownSocket(listen.path)}`
  if ('fd' in listen) return `fd:${listen.fd}`
  return `${scheme}://${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`
}

function infoText({ sluice, node, platform, configFile, workers, reactors, ports, pid }: Facts, isRunning: boolean): string {
  return [
    `sluice ${sluice}, node ${node}, ${platform}`,
    isRunning ? `running with pid ${pid}` : 'not running; a start here would use:',
    `configuration  ${configFile ?? 'none'}`,
    `workers        ${workers}, reactors ${reactors}`,
    ...ports.map(({ name, protocol, url, error }) => `${name.padEnd(14)} ${protocol} ${url}${error === undefined ? '' : `  not bound: ${error}`}`),
    '',
  ].join('\n')
}
