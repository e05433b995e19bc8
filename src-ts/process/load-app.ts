import { fileURLToPath } from 'node:url'

import type { RequestHooks, RuntimeOptions } from '../app.ts'
import { importModule } from '../config/import-module.ts'
import type { Context } from '../context.ts'
import type { ResolvedConfig } from '../options.ts'
import type { Boot } from './messages.ts'

/**
 * Imports the application. A worker is a new thread with a module graph of its own, so this is always the code that is on
 * disk now; nothing has to be cached away. Rejects with whatever the module throws.
 */
export function loadApp({ app }: Pick<Boot, 'app'>): Promise<Record<string, unknown>> {
  return importModule(fileURLToPath(app))
}

/** The configured functions that run in workers. */
export type WorkerFunctions = Pick<ResolvedConfig, 'lifecycle' | 'hooks' | 'cleaners' | 'cron' | 'processes'>

/** Loads the configuration file again: functions cannot cross threads. Without a file there are none. */
export async function loadFunctions({ configFile, env, version }: Pick<Boot, 'configFile' | 'env' | 'version'>): Promise<WorkerFunctions | undefined> {
  if (configFile === undefined || configFile.endsWith('.json')) return undefined
  // Imported only here: a worker without a configuration file starts without the schema and its checker.
  const [{ loadConfigFile }, { parseConfig }] = await Promise.all([import('../config/load.ts'), import('../options.ts')])
  return parseConfig(await loadConfigFile(configFile, { command: 'start', env: env ?? '', version }), configFile)
}

/** Hooks and cleaners with the types that `http/` gives them; that they are functions was checked with the configuration. */
export function requestFunctions({ hooks, cleaners }: Pick<ResolvedConfig, 'hooks' | 'cleaners'>): Pick<RuntimeOptions, 'hooks' | 'cleaners'> {
  return { hooks: hooks as RequestHooks, cleaners: cleaners as readonly ((ctx: Context) => unknown)[] }
}
