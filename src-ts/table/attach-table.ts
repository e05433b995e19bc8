import { sluiceError, sluiceTypeError } from '../errors.ts'
import { nativeTables } from '../native.ts'
import type { Column, Columns, RowOf } from './column.ts'
import { guarded } from './failure.ts'
import { checkSpec, type TableSpec } from './spec.ts'
import { Table } from './table.ts'

/** How a table of another process is found and read. */
export interface AttachOptions<C extends Columns = Columns> {
  /** The state directory of the server that has the table. @default `SLUICE_STATE_DIR`, else `.sluice` in the working directory */
  readonly stateDir?: string | undefined
  /** The columns as they are declared in the server, for the types and for `t.bigint()`. @default what the table says, all integers as numbers */
  readonly columns?: C | undefined
  /** As of `defineTable()`. @default 'throw' */
  readonly onOverflow?: 'throw' | 'truncate' | undefined
}

/** The table of a file as it says itself. */
interface Description {
  readonly name: string
  readonly spec: Pick<TableSpec, 'size' | 'ttl' | 'evict' | 'maxKey'> & { readonly columns: readonly { readonly name: string; readonly type: Column['type']; readonly size?: number }[] }
}

/**
 * A table of a running server, for another program of the same user: the same rows, to read and write. `name`: of the table, or the path of
 * its file. The server must have its state directory named, as `sluice start` does. When that server ends its tables go; a handle of before is
 * of no use then, attach again.
 * @throws SluiceError ERR_SLUICE_TABLE_FILE when there is no such table or none that can be read; ERR_SLUICE_TABLE_MISMATCH when `columns` are not its own
 */
export async function attachTable<const C extends Columns = Columns>(name: string, options: AttachOptions<C> = {}): Promise<Table<RowOf<C>, C>> {
  if (typeof name !== 'string' || name === '') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'The name of a table must be a string of at least one character')
  const path = name.includes('/') ? name : await pathOf(name, options.stateDir)
  const { name: ownName, spec } = describe(path)
  const own = Object.fromEntries(spec.columns.map(({ name, ...column }) => [name, column])) as Columns
  const columns = options.columns ?? own
  checkSpec(`table ${JSON.stringify(ownName)}`, { size: spec.size, columns, onOverflow: options.onOverflow })
  if (layoutOf(columns) !== layoutOf(own)) {
    throw sluiceError('ERR_SLUICE_TABLE_MISMATCH', `The table "${ownName}" in ${path} has the columns ${layoutOf(own)}, not ${layoutOf(columns)}`)
  }
  return new Table<RowOf<C>, C>(
    ownName,
    { columns, onOverflow: options.onOverflow },
    // A copy, as in `defineTable`: calls of an object of the addon's making are slower.
    guarded(() => ({ ...nativeTables.attachTable(path) })),
  )
}

/** The files of the tables of a state directory, by name. */
export async function tableFiles(stateDir: string): Promise<ReadonlyMap<string, string>> {
  const [{ readdirSync }, { join }, { tablesDirectories }] = await Promise.all([import('node:fs'), import('node:path'), import('./directory.ts')])
  const files = new Map<string, string>()
  for (const directory of tablesDirectories(stateDir)) {
    for (const file of readOr(() => readdirSync(directory), [])) {
      const name = /^(.+)\.table$/.exec(file)?.[1]
      if (name !== undefined && !files.has(name)) files.set(name, join(directory, file))
    }
  }
  return files
}

async function pathOf(name: string, stateDir: string | undefined): Promise<string> {
  const { resolve } = await import('node:path')
  const directory = resolve(stateDir ?? (process.env['SLUICE_STATE_DIR'] || '.sluice'))
  const files = await tableFiles(directory)
  const path = files.get(name)
  if (path !== undefined) return path
  const others = files.size === 0 ? 'No server with tables has its state there' : `There are: ${[...files.keys()].sort().join(', ')}`
  throw sluiceError('ERR_SLUICE_TABLE_FILE', `There is no table "${name}" of the state directory ${directory}. ${others}`)
}

function describe(path: string): Description {
  return JSON.parse(guarded(() => nativeTables.describeTable(path))) as Description
}

/** What both sides must agree on. */
function layoutOf(columns: Columns): string {
  return Object.entries(columns)
    .map(([name, column]) => `${name}: ${column.type}${'size' in column ? `(${column.size})` : ''}`)
    .join(', ')
}

function readOr<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
