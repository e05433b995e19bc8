import { readFile, stat } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { sluiceError } from '../errors.ts'
import type { Config } from '../options.ts'
import { shownPath } from './explain.ts'
import { importModule } from './import-module.ts'

/** What a configuration function is told. */
export interface ConfigEnv {
  command: 'start'
  /** The name given by `-e`; empty without. */
  env: string
  /** The version given by `-x`. */
  version: string | undefined
}

/** What a configuration file exports. */
export type ConfigExport = Config | ((env: ConfigEnv) => Config | Promise<Config>)

/** The names that are looked for, in this order. */
export const configFileNames = ['ts', 'mts', 'js', 'mjs', 'json'].map((extension) => `sluice.config.${extension}`)

/** The configuration file of a directory, as an absolute path; undefined when it has none. */
export async function findConfigFile(directory: string): Promise<string | undefined> {
  for (const name of configFileNames) {
    const file = resolve(directory, name)
    if (await isFile(file)) return file
  }
  return undefined
}

/**
 * Reads a configuration file and, if it exports a function, calls it. The result is unchecked: hand it to `parseConfig`.
 * @throws ERR_SLUICE_INVALID_CONFIG when it does not exist, cannot be loaded, throws, or exports nothing that could be a configuration
 */
export async function loadConfigFile(file: string, env: ConfigEnv): Promise<object> {
  const path = resolve(file)
  if (!(await isFile(path))) throw sluiceError('ERR_SLUICE_INVALID_CONFIG', `There is no configuration file ${shownPath(path)}`)
  try {
    const exported = extname(path) === '.json' ? JSON.parse(await readFile(path, 'utf8')) : (await importModule(path))['default']
    const config: unknown = typeof exported === 'function' ? await exported(env) : await exported
    if (typeof config === 'object' && config !== null) return config
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw sluiceError('ERR_SLUICE_INVALID_CONFIG', `Cannot load ${shownPath(path)}: ${reason}`, { cause })
  }
  throw sluiceError('ERR_SLUICE_INVALID_CONFIG', `${shownPath(path)} must export a configuration object, or a function that gives one, as its default`)
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}
