import { relative } from 'node:path'
import { inspect } from 'node:util'
import type * as v from 'valibot'
import { sluiceTypeError } from '../errors.ts'
import { nearest } from './nearest.ts'

/**
 * Turns what the schema found into the error the user reads: the path, what was expected, what was there.
 * Of several it takes an unknown key first: `{ prt: 1 }` is a misspelt `port` rather than a missing one.
 */
export function explain(issues: readonly v.BaseIssue<unknown>[], schema: v.GenericSchema, source: string | undefined): TypeError {
  const issue = issues.find(isUnknownKey) ?? (issues[0] as v.BaseIssue<unknown>)
  const keys = (issue.path ?? []).map((item) => item.key as string | number)
  const path = pathText(keys)
  const where = source === undefined ? '' : `in ${shownPath(source)}`
  const last = issue.path?.at(-1)

  if (isUnknownKey(issue) && last !== undefined) {
    const similar = nearest(String(last.key), keysAt(schema, keys.slice(0, -1), issue.path?.[0]?.input))
    const hint = similar === undefined ? '' : `, did you mean \`${pathText([...keys.slice(0, -1), similar])}\`?`
    return invalidOption(`unknown option \`${path}\`${where && ` ${where}`}${hint}`)
  }
  if (issue.type === 'strict_object' && issue.expected !== 'Object') return invalidOption(`${path} is required${where && ` ${where}`}`)
  return invalidOption(`${path || 'the configuration'} ${issue.message}, got ${shown(issue.input)}${where && ` (${where})`}`)
}

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never'
}

/** A file as a user would name it: relative where that is shorter. */
export function shownPath(file: string): string {
  const path = relative('.', file)
  return path.startsWith('..') ? file : path
}

/** `['listen', 0, 'port']` → `listen[0].port`. */
function pathText(keys: readonly (string | number)[]): string {
  return keys.reduce<string>((path, key) => (typeof key === 'number' ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`), '')
}

/** A value as it may be quoted in one line: no secrets of any length, no line breaks. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'a list'
  return inspect(value, { depth: 0, breakLength: Number.POSITIVE_INFINITY }).slice(0, 80)
}

/** The keys that the schema knows at a path of the input. */
function keysAt(schema: v.GenericSchema, path: readonly (string | number)[], input: unknown): string[] {
  let here = unwrap(schema as SchemaPart, input)
  let value = input
  for (const key of path) {
    value = (value as Record<string | number, unknown>)[key]
    here = unwrap(typeof key === 'number' ? here?.item : (here?.entries?.[key] ?? here?.value), value)
  }
  return Object.keys(here?.entries ?? {})
}

/** The members of valibot's schemas that lead to the keys of an object. */
interface SchemaPart {
  readonly wrapped?: SchemaPart
  readonly getter?: (input: unknown) => SchemaPart
  readonly entries?: Record<string, SchemaPart>
  readonly item?: SchemaPart
  readonly value?: SchemaPart
}

function unwrap(schema: SchemaPart | undefined, input: unknown): SchemaPart | undefined {
  if (schema?.wrapped) return unwrap(schema.wrapped, input)
  if (schema?.getter) return unwrap(schema.getter(input), input)
  return schema
}

/** The error of a wrong option. */
export const invalidOption = (message: string): TypeError => sluiceTypeError('ERR_SLUICE_INVALID_OPTION', message)

/** ` (in FILE)`, as messages end. */
export function sourceText(source: string | undefined): string {
  return source === undefined ? '' : ` (in ${shownPath(source)})`
}
