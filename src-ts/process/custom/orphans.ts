/**
 * Child processes die with the master, however it ends. By a graceful stop they are stopped; when the process exits otherwise they are killed
 * in its last moment; and when it is killed itself the kernel kills them, where `setpriv` of util-linux is there to ask it for that.
 */
import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { accessSync, constants as fileConstants, statSync } from 'node:fs'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'

const children = new Set<ChildProcess>()
let isWatching = false
let mark: readonly string[] | undefined

/** Starts a program in a process group of its own, so that what it starts can be ended with it. */
export function spawnChild(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  mark ??= parentDeathSignal()
  // Of a program that is not there the command in front could tell no more than a number.
  if (mark.length > 0) checkProgram(program, options.env?.['PATH'] ?? '', String(options.cwd ?? '.'))
  const [first = program, ...rest] = [...mark, program, ...args]
  const child = spawn(first, rest, { ...options, detached: process.platform !== 'win32' })
  if (!isWatching) {
    isWatching = true
    process.on('exit', () => {
      for (const one of children) signalChild(one, 'SIGKILL')
    })
  }
  children.add(child)
  child.once('exit', () => {
    // What it has started and left behind goes, too: it would be nobody's.
    signalChild(child, 'SIGKILL')
    children.delete(child)
  })
  child.once('error', () => {
    if (child.pid === undefined) children.delete(child)
  })
  return child
}

/** @throws ENOENT for what is not there, EACCES for what is there and cannot be run */
function checkProgram(program: string, path: string, cwd: string): void {
  const candidates = program.includes('/') ? [resolve(cwd, program)] : path.split(':').map((folder) => join(folder, program))
  if (candidates.some((file) => isFile(file) && canRun(file))) return
  const code = candidates.some((file) => isFile(file)) ? 'EACCES' : 'ENOENT'
  throw Object.assign(new Error(`spawn ${program} ${code}`), { code, syscall: `spawn ${program}`, path: program })
}

function isFile(file: string): boolean {
  try {
    return statSync(file).isFile()
  } catch {
    return false
  }
}

function canRun(file: string): boolean {
  try {
    accessSync(file, fileConstants.X_OK)
    return true
  } catch {
    return false
  }
}

/** To the process and all of its group. */
export function signalChild({ pid }: Pick<ChildProcess, 'pid'>, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, constants.signals[signal])
  } catch {
    // There is nobody any more.
  }
}

/** What has the kernel kill a program when its parent dies: a command in front of it, which becomes it. */
function parentDeathSignal(): readonly string[] {
  if (process.platform !== 'linux') return []
  const command = ['setpriv', '--pdeathsig', 'KILL', '--'] as const
  const [program, ...args] = command
  return spawnSync(program, [...args, 'true'], { stdio: 'ignore', timeout: 5_000 }).status === 0 ? command : []
}
