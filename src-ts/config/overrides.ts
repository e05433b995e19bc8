/**
 * What the command line and the environment say instead of the configuration file. One table: each row is an option, the
 * variables that set it, nearest first, and how the text is read.
 */
import { resolve } from 'node:path'
import { sluiceTypeError } from '../errors.ts'

interface Override {
  /** Path of the option; `port` and `host` stand for those of the first TCP address of `listen`. */
  readonly option: string
  readonly variables: readonly string[]
  /** `count`: a number, `auto` or `max`; `path`: from the working directory, unlike paths in the file. */
  readonly read: 'text' | 'number' | 'count' | 'path'
}

export const overrides: readonly Override[] = [
  { option: 'port', variables: ['SLUICE_PORT', 'PORT'], read: 'number' },
  { option: 'host', variables: ['SLUICE_HOST', 'HOST'], read: 'text' },
  { option: 'workers', variables: ['SLUICE_WORKERS'], read: 'count' },
  { option: 'name', variables: ['SLUICE_NAME'], read: 'text' },
  { option: 'version', variables: ['SLUICE_VERSION', 'X_VERSION'], read: 'text' },
  { option: 'maxWaitTime', variables: ['SLUICE_MAX_WAIT_TIME'], read: 'number' },
  { option: 'stateDir', variables: ['SLUICE_STATE_DIR'], read: 'path' },
  { option: 'log.level', variables: ['SLUICE_LOG_LEVEL', 'LOG_LEVEL'], read: 'text' },
  { option: 'log.file', variables: ['SLUICE_LOG_FILE'], read: 'path' },
  { option: 'log.format', variables: ['SLUICE_LOG_FORMAT'], read: 'text' },
]

/** Options by path, as far as something sets them. */
export type Overrides = Readonly<Record<string, unknown>>

/** The overrides in an environment. An empty variable sets nothing. @throws ERR_SLUICE_INVALID_OPTION naming the variable that is not a number */
export function environmentOverrides(environment: Readonly<Record<string, string | undefined>>): Overrides {
  const found: Record<string, unknown> = {}
  for (const { option, variables, read } of overrides) {
    const variable = variables.find((name) => environment[name])
    if (variable !== undefined) found[option] = parseOverride(variable, environment[variable] as string, read)
  }
  return found
}

/** Reads one value; `from` is the variable or flag it came from, for the message. */
export function parseOverride(from: string, text: string, read: Override['read']): unknown {
  if (read === 'text' || (read === 'count' && (text === 'auto' || text === 'max'))) return text
  if (read === 'path') return resolve(text)
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `${from} must be a whole number${read === 'count' ? ' or "auto" or "max"' : ''}, got ${JSON.stringify(text)}`)
}

/** A configuration with options replaced; neither argument is changed, and what is set stays unchecked. */
export function applyOverrides(config: object, { port, host, ...options }: Overrides): object {
  let result = config
  for (const [option, value] of Object.entries(options)) if (value !== undefined) result = withOption(result, option.split('.'), value)
  if (port === undefined && host === undefined) return result
  const address = { ...(host !== undefined && { host }), ...(port !== undefined && { port }) }
  return { ...result, listen: withAddress((result as { listen?: unknown }).listen, address) }
}

function withOption(config: object, [key = '', ...rest]: readonly string[], value: unknown): object {
  const inner: unknown = (config as Record<string, unknown>)[key]
  // A section of the wrong type is left for parseConfig to refuse.
  if (rest.length > 0 && inner !== undefined && !isObject(inner)) return config
  return { ...config, [key]: rest.length === 0 ? value : withOption(isObject(inner) ? inner : {}, rest, value) }
}

/** Changes the first TCP address; where there are only sockets of other kinds, one is added in front. */
function withAddress(listen: unknown, address: object): unknown {
  if (listen === undefined) return { port: 5200, ...address }
  const list = Array.isArray(listen) ? listen : [listen]
  const index = list.findIndex((entry) => isObject(entry) && !('path' in entry))
  if (index < 0) return list.every(isObject) ? [{ port: 5200, ...address }, ...list] : listen
  return list.map((entry, position) => (position === index ? { ...entry, ...address } : entry))
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
