import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { errorTable, SluiceError, sluiceError, sluiceRangeError, sluiceTypeError, type ErrorCode } from '../src-ts/errors.ts'

const root = new URL('../', import.meta.url)
const text = (path: string) => readFileSync(new URL(path, root), 'utf8')
const codes = Object.keys(errorTable) as ErrorCode[]
const rustCodes = [...text('crates/sluice-core/src/error.rs').matchAll(/=> "(ERR_SLUICE_\w+)"/g)].map((match) => match[1] as string)

/** Each place in the sources that makes an error: the factory's class and the code. */
const raised = readdirSync(new URL('src-ts/', root), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && file !== 'errors.ts')
  .flatMap((file) =>
    [...text(`src-ts/${file}`).matchAll(/\bsluice(Type|Range|)Error\(\s*'(ERR_SLUICE_\w+)'/g)].map((match) => ({
      file,
      base: `${match[1]}Error`,
      code: match[2] as ErrorCode,
    })),
  )

test('every code Rust can raise is in the table', (t) => {
  t.true(rustCodes.length > 0)
  t.deepEqual(
    rustCodes.filter((code) => !codes.includes(code as ErrorCode)),
    [],
  )
})

test('every code of the table is raised by Rust or by TypeScript', (t) => {
  const used = new Set<string>([...rustCodes, ...raised.map(({ code }) => code)])
  t.deepEqual(
    codes.filter((code) => !used.has(code)),
    [],
  )
})

test('every error in the sources has a class its code may have', (t) => {
  t.deepEqual(
    raised.filter(({ base, code }) => !errorTable[code]?.base.split(' | ').includes(base)),
    [],
  )
})

test('docs/reference/errors.md explains every code of the table and no other', (t) => {
  const page = text('docs/reference/errors.md')
  const sections = [...page.matchAll(/^## (ERR_SLUICE_\w+)\n\n(.*?)\n\n(.*?)(?=\n## |$(?![\s\S]))/gms)]
  t.deepEqual(
    sections.map((section) => section[1]),
    codes,
  )
  for (const [, code, summary, body] of sections) {
    const row = errorTable[code as ErrorCode]
    t.is(summary, `${row.summary}. Class: ${row.base === 'Error' ? 'SluiceError' : row.base}.`)
    t.regex(body as string, /^\*\*Cause\*\*: .+^\*\*Fix\*\*: .+/ms)
  }
})

test('sluiceError() makes a SluiceError with code, message and cause', (t) => {
  const cause = new Error('below')
  const error = sluiceError('ERR_SLUICE_LISTEN', 'Cannot listen on 127.0.0.1:80', { cause })
  t.true(error instanceof SluiceError && error instanceof Error)
  t.like(error, { name: 'SluiceError', code: 'ERR_SLUICE_LISTEN', message: 'Cannot listen on 127.0.0.1:80', cause })
})

test('sluiceTypeError() and sluiceRangeError() keep the built-in class and add the code', (t) => {
  const type = sluiceTypeError('ERR_SLUICE_INVALID_ARG', 'name must be a string')
  t.true(type instanceof TypeError)
  t.like(type, { name: 'TypeError', code: 'ERR_SLUICE_INVALID_ARG' })
  const range = sluiceRangeError('ERR_SLUICE_BODY_TOO_LARGE', 'The body is larger than 10 bytes')
  t.true(range instanceof RangeError)
  t.like(range, { name: 'RangeError', code: 'ERR_SLUICE_BODY_TOO_LARGE' })
})
