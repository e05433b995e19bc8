import { readFileSync } from 'node:fs'

/** The version of this package. Read, not written down a second time; the path is the same from `src-ts/` and `dist/`. */
export const sluiceVersion: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version
