import { resolve } from 'node:path'
import { loadEnvFiles } from '../config/env-files.ts'
import { findConfigFile, loadConfigFile } from '../config/load.ts'
import { applyOverrides, environmentOverrides, parseOverride } from '../config/overrides.ts'
import { parseConfig, type ResolvedConfig } from '../options.ts'
import type { StartFlags } from './program.ts'

/**
 * The configuration of a command line: flags before environment variables before the configuration file before defaults.
 * With an environment name its `.env` files are loaded first, so that they count as environment variables.
 * @throws ERR_SLUICE_INVALID_OPTION, ERR_SLUICE_INVALID_CONFIG
 */
export async function resolveConfig(app: string | undefined, flags: StartFlags): Promise<ResolvedConfig> {
  const env = flags.env ?? process.env['SLUICE_ENV']
  if (env) loadEnvFiles('.', env)
  const fromEnvironment = environmentOverrides(process.env)
  const version = flags.xVersion ?? (fromEnvironment['version'] as string | undefined)

  const file = flags.config === undefined ? await findConfigFile('.') : resolve(flags.config)
  const fromFile = file === undefined ? {} : await loadConfigFile(file, { command: 'start', env: env ?? '', version })
  const fromFlags = {
    app: app === undefined ? undefined : resolve(app),
    env: env || undefined,
    version: flags.xVersion,
    workers: flags.workers === undefined ? undefined : parseOverride('--workers', flags.workers, 'count'),
    port: flags.port === undefined ? undefined : parseOverride('--port', flags.port, 'number'),
    host: flags.host,
    daemon: flags.daemonize,
    stateDir: flags.state ? undefined : false,
  }
  // The server of a command has the state directory for itself, also the usual one; one more of them beside it has tables of its own.
  const named = flags.ignore === true ? fromFile : { stateDir: '.sluice', ...fromFile }
  return parseConfig(applyOverrides(applyOverrides(named, fromEnvironment), fromFlags), file)
}
