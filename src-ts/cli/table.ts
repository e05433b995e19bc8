import { attachTable, tableFiles } from '../table/attach-table.ts'
import type { Table } from '../table/table.ts'
import { columns } from './columns.ts'
import type { TableFlags } from './program.ts'
import type { ExitCode } from './run.ts'
import { findState } from './state-dir.ts'

/** Rows that are shown unless another number is asked for. */
const LIMIT = 100

/** `sluice table`: lists the tables of the running server, or shows rows of one. It only reads. */
export async function table(name: string | undefined, { config, stateDir, key, prefix = '', limit = LIMIT, json }: TableFlags): Promise<ExitCode> {
  const directory = stateDir ?? (await findState(config)).directory
  if (name === undefined) return await list(directory, json === true)
  const rows = await attachTable(name, { stateDir: directory })
  return key === undefined ? showRows(rows, prefix, limit, json === true) : showRow(rows, key, json === true)
}

async function list(directory: string, isJson: boolean): Promise<ExitCode> {
  const tables = []
  for (const [name, path] of [...(await tableFiles(directory))].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const { size, capacity, memorySize } = await attachTable(path)
    tables.push({ name, rows: size, capacity, memory: memorySize, path })
  }
  if (isJson) print(JSON.stringify(tables))
  else if (tables.length === 0) print(`No tables of the state directory ${directory}`)
  else for (const line of columns([['table', 'rows', 'of', 'memory'], ...tables.map(({ name, rows, capacity, memory }) => [name, rows, capacity, `${(memory / 2 ** 20).toFixed(1)} MiB`])])) print(line)
  return tables.length > 0 ? 0 : 1
}

function showRow(rows: Table, key: string, isJson: boolean): ExitCode {
  const row = rows.get(key)
  if (row === undefined) {
    print(isJson ? 'null' : 'No such row')
    return 1
  }
  print(isJson ? jsonOf(row) : `${key}  ${textOf(row)}`)
  return 0
}

function showRows(rows: Table, prefix: string, limit: number, isJson: boolean): ExitCode {
  let count = 0
  for (const [key, row] of rows.entries(prefix)) {
    if (count++ === limit) {
      process.stderr.write(`More than ${limit} rows: see --limit, --prefix and --key\n`)
      break
    }
    print(isJson ? jsonOf({ key, ...row }) : `${key}  ${textOf(row)}`)
  }
  if (count === 0 && !isJson) process.stderr.write('No rows\n')
  return 0
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** One line of JSON; bytes as base64. */
function jsonOf(row: object): string {
  return JSON.stringify(Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value])))
}

function textOf(row: object): string {
  return Object.entries(row)
    .map(([name, value]) => `${name}=${value instanceof Uint8Array ? Buffer.from(value).toString('hex') : typeof value === 'string' ? JSON.stringify(value) : value}`)
    .join('  ')
}
