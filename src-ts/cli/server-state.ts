import { chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { sluiceError } from '../errors.ts'
import type { ResolvedConfig } from '../options.ts'
import type { Server } from '../process/api.ts'
import { PidFile } from '../process/pid-file.ts'
import type { Account } from '../process/privileges.ts'
import type { ControlServer } from '../process/control.ts'
import type { Logger } from './logger.ts'
import { stateFiles, type StateFiles } from './state-dir.ts'

/** How a running server is to stop. */
export interface StopOptions {
  /** Milliseconds until what is left is cut off. @default `maxWaitTime` */
  readonly timeout?: number
  /** What WebSockets are closed with. @default 1001, going away */
  readonly closeCode?: number
}

/** What the commands need to know about the running server beyond the server itself. */
export interface Operation {
  /** The command line behind `start`. */
  readonly args: readonly string[]
  /** Begins a graceful stop that ends the process. */
  stop(options: StopOptions): void
}

/** The state directory of the running master: pid file, control socket, the configuration in force. With `stateDir: false` nothing. */
export class ServerState {
  readonly #files: StateFiles | undefined
  readonly #pidFile: PidFile | undefined
  #control: ControlServer | undefined


  private constructor(files: StateFiles | undefined, pidFile: PidFile | undefined) {
    this.#files = files
    this.#pidFile = pidFile
  }

  /**
   * Takes the state directory for this process, or gives the pid of the master that has it. `isIgnored`: takes it anyway.
   * @throws ERR_SLUICE_INVALID_CONFIG when the directory cannot be written
   */
  static claim({ stateDir }: ResolvedConfig, { isIgnored }: { isIgnored: boolean }): ServerState | number {
    if (stateDir === false) return new ServerState(undefined, undefined)
    const files = stateFiles(stateDir)
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 })
      if (isIgnored) rmSync(files.pid, { force: true })
      const pidFile = PidFile.claim(files.pid)
      return typeof pidFile === 'number' ? pidFile : new ServerState(files, pidFile)
    } catch (cause) {
      throw sluiceError('ERR_SLUICE_INVALID_CONFIG', `Cannot use the state directory ${stateDir}: ${(cause as Error).message}. Set SLUICE_STATE_DIR or use --no-state`, { cause })
    }
  }

  /**
   * Prepares for the end of the server as another user. The directory goes over only if nothing but the server's files is in it:
   * then it was made for that.
   */
  giveTo({ uid, gid }: Account): void {
    if (this.#files === undefined || process.geteuid?.() !== 0) return
    const { directory, ...files } = this.#files
    const own = new Set(Object.values(files).map((path) => basename(path)))
    if (readdirSync(directory).every((name) => own.has(name))) chownSync(directory, uid, gid)
    this.#pidFile?.giveTo(uid, gid)
  }

  /** Opens the control socket and writes `config.json`. What fails is logged: the server serves without it. */
  async open(server: Server, config: ResolvedConfig, operation: Operation, log: Logger): Promise<void> {
    if (this.#files === undefined) return
    try {
      writeFileSync(this.#files.config, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
      const [{ ControlServer }, { controlHandlers }] = await Promise.all([import('../process/control.ts'), import('./control-handlers.ts')])
      const control = new ControlServer(this.#files.socket, controlHandlers(server, config, operation))
      await control.start()
      this.#control = control
    } catch (error) {
      log.warn('No control socket: stop and reload this server by signals', { err: error })
      if (config.user !== undefined) log.warn(`The state directory must be writable by ${config.user}: chown ${config.user} ${this.#files.directory}`)
    }
  }

  /** Removes what {@link claim} and {@link open} made. May be called again. */
  release(): void {
    this.#control?.stop()
    this.#pidFile?.release()
    if (this.#files !== undefined) rmSync(this.#files.config, { force: true })
  }
}
