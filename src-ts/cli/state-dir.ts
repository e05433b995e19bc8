import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** The files of a server's state directory. */
export interface StateFiles {
  readonly directory: string
  /** The master's pid. */
  readonly pid: string
  /** The control socket. */
  readonly socket: string
  /** The configuration in force, for people to read. */
  readonly config: string
  /** Output of a server in the background that has no `log.file`. */
  readonly log: string
}

export function stateFiles(directory: string): StateFiles {
  return {
    directory,
    pid: join(directory, 'sluice.pid'),
    socket: join(directory, 'sluice.sock'),
    config: join(directory, 'config.json'),
    log: join(directory, 'sluice.log'),
  }
}

/**
 * Where the server that a command is about keeps its state: `SLUICE_STATE_DIR`, else what the configuration file says.
 * The file is only loaded when it is named or `.sluice` is not here: it is the user's code, and may take its time.
 */
export async function findState(configFile: string | undefined): Promise<StateFiles> {
  const fromEnvironment = process.env['SLUICE_STATE_DIR']
  if (fromEnvironment) return stateFiles(resolve(fromEnvironment))
  const usual = resolve('.sluice')
  if (configFile === undefined && existsSync(usual)) return stateFiles(usual)
  const { resolveConfig } = await import('./resolve-config.ts')
  const { stateDir } = await resolveConfig(undefined, { state: true, ...(configFile !== undefined && { config: configFile }) })
  return stateFiles(stateDir === false ? usual : stateDir)
}
