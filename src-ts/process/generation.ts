import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

import { sluiceError } from '../errors.ts'

/**
 * One version of the application: what start or a reload found on disk. Symbolic links are followed once, here, so that
 * every worker of a generation runs the same release, also the one that replaces a crashed worker after the link moved.
 */
export interface Generation {
  /** 1 at start, then one more for every reload that was tried. */
  readonly number: number
  /** File URL of the module, links resolved. */
  readonly app: string
  /** The configuration's `root`, links resolved. */
  readonly root: string
  readonly version: string | undefined
}

/** Where the application is said to be; `root` is the folder that a relative `app` starts from. */
export interface AppLocation {
  readonly root: string
  readonly app: string | URL
}

/** Looks the application up. @throws ERR_SLUICE_WORKER_START when there is no such file */
export function lookUp({ root, app }: AppLocation, number: number, version: string | undefined): Generation {
  const path = typeof app !== 'string' ? fileURLToPath(app) : app.startsWith('file:') ? fileURLToPath(app) : resolve(root, app)
  try {
    return { number, app: pathToFileURL(realpathSync(path)).href, root: existsSync(root) ? realpathSync(root) : root, version }
  } catch (cause) {
    throw sluiceError('ERR_SLUICE_WORKER_START', `The application ${path} cannot be found`, { cause })
  }
}

/**
 * Whether going back from `current` to `previous` means other code. Only releases in folders of their own can be gone
 * back to (`root` or `app` through a symbolic link); a file that was edited in place has no older version to load.
 */
export function isElsewhere(previous: Generation, current: Generation): boolean {
  return previous.app !== current.app
}
