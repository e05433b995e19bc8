import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { sluiceError } from '../errors.ts'

/**
 * Loads `.env.<env>` and then `.env` of a directory into an environment. A variable that exists is never changed, so what was
 * set outside wins, and the more specific file wins over the general one. A file that does not exist is skipped.
 * @throws ERR_SLUICE_INVALID_CONFIG when a file exists but cannot be read
 */
export function loadEnvFiles(directory: string, env: string, environment: Record<string, string | undefined> = process.env): void {
  for (const name of [`.env.${env}`, '.env']) {
    for (const [key, value] of Object.entries(parseEnv(textOf(resolve(directory, name))))) environment[key] ??= value
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw sluiceError('ERR_SLUICE_INVALID_CONFIG', `Cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
}
