import { isMainThread } from 'node:worker_threads'
import { sluiceTypeError } from '../errors.ts'
import { nativeTables } from '../native.ts'
import type { Columns, RowOf } from './column.ts'
import { guarded } from './failure.ts'
import { checkSpec, nativeSpec, type TableSpec } from './spec.ts'
import { Table } from './table.ts'

/** The tables of this thread, by name and what was asked for: each holds memory of its own to read rows to, for as long as the thread lives. */
const tables = new Map<string, Table>()

/**
 * The table of that name, made by whoever comes first. The same name is the same memory in every thread of the process, and in the processes
 * that a server with a state directory starts. For the top level of the app's modules.
 *
 * `name`: 1 to 64 letters, digits and . _ -, not beginning with a dot.
 * @throws TypeError ERR_SLUICE_INVALID_OPTION for a wrong description, ERR_SLUICE_INVALID_ARG for a wrong name; ERR_SLUICE_TABLE_MISMATCH when the name
 * is in use with another description, which lasts until the server is restarted; ERR_SLUICE_TABLE_FILE when its file cannot be used
 */
export function defineTable<const C extends Columns>(name: string, spec: TableSpec<C>): Table<RowOf<C>, C> {
  if (typeof name !== 'string') throw sluiceTypeError('ERR_SLUICE_INVALID_ARG', `The name of a table must be a string, got ${typeof name}`)
  checkSpec(`table ${JSON.stringify(name)}`, spec)
  const key = `${name} ${JSON.stringify(spec)}`
  const known = tables.get(key)
  if (known) return known as Table<RowOf<C>, C>
  const table = new Table<RowOf<C>, C>(name, spec, open(name, spec))
  tables.set(key, table)
  if (spec.persist !== undefined && isMainThread) writeAtExit()
  return table
}

let writesAtExit = false

/** A program without a server has no other moment to write the last snapshots. */
function writeAtExit(): void {
  if (writesAtExit) return
  writesAtExit = true
  process.once('exit', () => nativeTables.writeSnapshots())
}

/** The names of the tables that this thread has. */
export function definedTables(): readonly string[] {
  return [...tables.keys()].map((key) => key.slice(0, key.indexOf(' ')))
}

/** Makes this thread forget its tables, which have been released: who defines one again gets what there is then. */
export function forgetTables(): void {
  tables.clear()
}

function open(name: string, spec: TableSpec): ReturnType<typeof nativeTables.openTable> {
  // A copy: an object of the addon's making is a dictionary to V8, and each call would look its function up there.
  return guarded(() => ({ ...nativeTables.openTable(name, nativeSpec(spec), spec.persist, spec.persistEvery) }))
}
