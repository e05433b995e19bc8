import type { ConfigExport } from './load.ts'

/** Gives a configuration file its types: `export default defineConfig({ … })`, or a function that gets the command, env and version. */
export function defineConfig<const T extends ConfigExport>(config: T): T {
  return config
}
