import { readdirSync, type Dirent } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'

import { importModule } from '../config/import-module.ts'
import { sluiceError, sluiceTypeError } from '../errors.ts'
import { registerExports } from './register-exports.ts'

/** More files than this are a pattern that went wrong. */
const FILES_MAX = 10_000

/** Imports the modules of `tasks.files` and makes their classes known. Rejects with ERR_SLUICE_WORKER_START that names the file, for one that throws or has the class of another. */
export async function importTaskFiles(files: readonly string[], root: string): Promise<void> {
  for (const path of findFiles(files, root)) await useFile(path, registerExports)
}

/** Imports a module, and gives what `use` makes of it. Rejects with ERR_SLUICE_WORKER_START that names the file: of a syntax error Node.js does not say where it is. */
export async function useFile<T>(path: string, use: (module: Record<string, unknown>) => T): Promise<T> {
  try {
    return use(await importModule(path))
  } catch (cause) {
    throw sluiceError('ERR_SLUICE_WORKER_START', `Cannot load ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** The absolute paths of files and patterns, which are those of `option`. @throws TypeError ERR_SLUICE_INVALID_OPTION for a pattern that nothing fits */
export function findFiles(patterns: readonly string[], root: string, option = 'tasks.files'): string[] {
  return [...new Set(patterns.flatMap((pattern, index) => {
    if (!pattern.includes('*')) return [resolve(root, pattern)]
    const found = match(resolve(root, pattern))
    if (found.length === 0) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `${option}[${index}]: no file fits "${pattern}" in ${root}`)
    return found
  }))]
}

/** The files below the folders before the first `*`, in the order of their names. */
function match(pattern: string): string[] {
  let base = pattern
  while (base.includes('*')) base = dirname(base)
  const parts = relative(base, pattern).split(sep)
  const found: string[] = []
  walk(base, parts, found)
  return found.sort()
}

function walk(folder: string, [part, ...rest]: readonly string[], found: string[]): void {
  if (part === undefined) return
  const entries = entriesOf(folder)
  if (part === '**') {
    walk(folder, rest, found)
    for (const entry of entries) if (entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.')) walk(join(folder, entry.name), [part, ...rest], found)
    return
  }
  const name = new RegExp(`^${part.split('*').map((text) => text.replace(/[\\^$.|?+()[\]{}]/g, '\\$&')).join('[^/]*')}$`)
  for (const entry of entries) {
    if (!name.test(entry.name) || (entry.name.startsWith('.') && !part.startsWith('.'))) continue
    if (rest.length === 0 && !entry.isDirectory()) add(join(folder, entry.name), found)
    else if (rest.length > 0 && entry.isDirectory()) walk(join(folder, entry.name), rest, found)
  }
}

function add(path: string, found: string[]): void {
  if (found.length >= FILES_MAX) throw sluiceTypeError('ERR_SLUICE_INVALID_OPTION', `A pattern of files must fit at most ${FILES_MAX} of them; ${path} is one more`)
  found.push(path)
}

/** None of a folder that is not there. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
