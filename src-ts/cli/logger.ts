import { hostname } from 'node:os'
import type { LogLevel } from '../options.ts'
import { hasColour, painter, type Paint } from './colour.ts'

/** What a line tells beyond its message. An `Error` is written with stack and code. */
export type LogFields = Readonly<Record<string, unknown>>

export type Logger = { readonly [L in LogLevel]: (message: string, fields?: LogFields) => void }

/** pino's numbers, so that its tools read our lines. */
const severity = { trace: 10, debug: 20, info: 30, warn: 40, error: 50 } as const
const levels = Object.keys(severity) as LogLevel[]

export interface LoggerOptions {
  readonly level: LogLevel
  readonly format: 'pretty' | 'json'
  /** Where lines go; one call per line, line feed included. */
  readonly write: (line: string) => void
  readonly isColoured: boolean
}

/** A logger that formats one line per call and keeps nothing. */
export function createLogger({ level, format, write, isColoured }: LoggerOptions): Logger {
  const paint = painter(isColoured)
  const line = format === 'json' ? jsonLine : prettyLine
  const methods = levels.map((name) => {
    const isWritten = severity[name] >= severity[level]
    return [name, (message: string, fields: LogFields = {}) => isWritten && write(`${line(name, message, fields, paint)}\n`)] as const
  })
  return Object.fromEntries(methods) as unknown as Logger
}

/** The logger of a command: to standard output, which `log.file` may have been put in place of. */
export function createOutputLogger(log: { readonly level: LogLevel; readonly format: 'pretty' | 'json' }): Logger {
  return createLogger({ ...log, write: (line) => process.stdout.write(line), isColoured: hasColour(process.stdout) })
}

function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  const plain = Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? errorFields(value) : value])
  return JSON.stringify({ level: severity[level], time: Date.now(), pid: process.pid, hostname: hostname(), ...Object.fromEntries(plain), msg: message })
}

function errorFields(error: Error): LogFields {
  return { type: error.name, message: error.message, stack: error.stack, code: 'code' in error ? error.code : undefined, cause: error.cause instanceof Error ? errorFields(error.cause) : undefined }
}

const tints = { trace: 'dim', debug: 'dim', info: 'green', warn: 'yellow', error: 'red' } as const

function prettyLine(level: LogLevel, message: string, fields: LogFields, paint: Paint): string {
  const time = paint('dim', new Date().toISOString().slice(11, 23))
  const parts: string[] = []
  const stacks: string[] = []
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue
    if (value instanceof Error) stacks.push(stackOf(value))
    else parts.push(` ${paint('dim', `${key}=`)}${typeof value === 'string' ? value : JSON.stringify(value)}`)
  }
  return `${time} ${paint(tints[level], level.toUpperCase().padEnd(5))} ${message}${parts.join('')}${stacks.map((stack) => `\n${stack.replace(/^/gm, '  ')}`).join('')}`
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\nCaused by: ${stackOf(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}
