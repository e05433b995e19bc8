import { networkInterfaces } from 'node:os'
import { sluiceVersion } from '../version.ts'
import type { Paint } from './colour.ts'

export interface ReadyFacts {
  /** Since the start of the process. */
  readonly milliseconds: number
  readonly workers: number
  readonly pid: number
  /** Set when `pidof` finds the process by this name. */
  readonly name: string | undefined
  readonly ports: readonly ReadyPort[]
}

export interface ReadyPort {
  readonly protocol: string
  readonly url: string
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
  /** Why it is not bound. */
  readonly error?: Error | undefined
}

/** What `sluice start` prints when the first worker serves: what listens where, and how to stop and reload it. */
export function readyBlock({ milliseconds, workers, pid, name, ports }: ReadyFacts, paint: Paint): string {
  const title = `  ${paint('bold', 'SLUICE')} v${sluiceVersion}  ready in ${Math.round(milliseconds)} ms`
  const details = paint('dim', `(${workers} worker${workers === 1 ? '' : 's'}, pid ${pid})`)
  const reload = `sluice reload, or kill -USR1 ${name === undefined ? pid : `$(pidof ${name})`}`
  return [
    `\n${title}   ${details}`,
    ...ports.map((port) => `  ${paint('green', '➜')}  ${port.protocol.padEnd(6)} ${paint('cyan', shownUrl(port))}${port.error === undefined ? network(port) : `  ${paint('red', 'not bound')}`}`),
    `  ${paint('dim', `stop: Ctrl+C, or sluice stop   reload: ${reload}`)}\n\n`,
  ].join('\n')
}

const shownUrl = ({ url, address }: ReadyPort): string => ('path' in address || !url.startsWith('http') ? url : `${url}/`)

/** For a port on every address: the first one by which other machines reach it. */
function network({ address, url }: ReadyPort): string {
  if (!('host' in address) || (address.host !== '0.0.0.0' && address.host !== '::')) return ''
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((network) => network?.family === 'IPv4' && !network.internal)
  return outside === undefined ? '' : `      Network ${new URL(url).protocol}//${outside.address}:${address.port}/`
}
