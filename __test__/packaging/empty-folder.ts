import { spawn } from 'node:child_process'
import { accessSync, constants, cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import { Command, type Ended } from '../cli/command.ts'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * A user's folder on a machine without Rust: the PATH holds this Node.js, npm and a shell, the home is the folder itself, and
 * npm may ask no registry. Everything ends with the test.
 */
export class EmptyFolder {
  readonly path: string
  readonly #t: ExecutionContext
  readonly #env: NodeJS.ProcessEnv
  readonly #npmBin: string

  constructor(t: ExecutionContext) {
    this.#t = t
    const home = realpathSync(mkdtempSync(join(tmpdir(), 'sluice-install-')))
    t.teardown(() => rmSync(home, { recursive: true, force: true }))
    this.path = join(home, 'project')
    const bin = join(home, 'bin')
    for (const folder of [this.path, bin]) mkdirSync(folder)
    symlinkSync(process.execPath, join(bin, 'node'))
    for (const program of ['sh', 'env']) symlinkSync(onPath(program), join(bin, program))
    this.#npmBin = dirname(realpathSync(onPath('npm')))
    this.#env = { PATH: bin, HOME: home, npm_config_cache: join(home, 'cache'), npm_config_offline: 'true', npm_config_update_notifier: 'false', CI: 'true' }
    this.write('package.json', JSON.stringify({ name: 'project', private: true, type: 'module' }))
  }

  file(name: string): string {
    return join(this.path, name)
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.file(name)), { recursive: true })
    writeFileSync(this.file(name), text)
  }

  /** Copies a file or folder of the repository to the same place here. */
  copy(name: string, to = name): void {
    cpSync(join(root, name), this.file(to), { recursive: true })
  }

  npm(...args: string[]): Promise<Ended> {
    return this.#spawn([join(this.#npmBin, 'npm-cli.js'), ...args]).ended
  }

  npx(...args: string[]): Command {
    return this.#spawn([join(this.#npmBin, 'npx-cli.js'), ...args])
  }

  node(...args: string[]): Promise<Ended> {
    return this.#spawn(args).ended
  }

  #spawn(args: readonly string[]): Command {
    // In a process group of its own: npx starts a shell that starts the server, and all of them must end with the test.
    const child = spawn(process.execPath, args, { cwd: this.path, env: this.#env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    this.#t.teardown(() => {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has ended by itself.
      }
    })
    return new Command(child)
  }
}

function onPath(program: string): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return join(folder, program)
    } catch {
      // Not in this one.
    }
  }
  throw new Error(`There is no ${program} on the PATH`)
}
