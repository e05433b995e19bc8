import { readFileSync } from 'node:fs'
import test from 'ava'
import { overrides } from '../../src-ts/config/overrides.ts'
import { configSchema, lifecycleEvents, portSchema } from '../../src-ts/config/schema.ts'

const page = readFileSync(new URL('../../docs/reference/configuration.md', import.meta.url), 'utf8')

/** The members of a valibot schema that tell its keys and defaults. */
interface Part {
  readonly wrapped?: Part
  readonly default?: unknown
  readonly getter?: (input: unknown) => Part
  readonly entries?: Record<string, Part>
  readonly pipe?: readonly Part[]
}

/** Every key below a schema with its default, as the page writes them. `example` chooses between alternatives. */
function optionsOf(part: Part, path = ''): Record<string, string> {
  const { inner, fallback } = unwrap(part, undefined)
  if (inner.entries === undefined) return { [path]: fallback }
  const found: Record<string, string> = path === '' || fallback === '{}' ? {} : { [path]: fallback }
  for (const [key, entry] of Object.entries(inner.entries)) Object.assign(found, optionsOf(entry, path === '' ? key : `${path}.${key}`))
  return found
}

function unwrap(part: Part, input: unknown, fallback = ''): { inner: Part; fallback: string } {
  if (part.wrapped) return unwrap(part.wrapped, input, part.default === undefined ? fallback : JSON.stringify(part.default))
  if (part.getter) return unwrap(part.getter(input), input, fallback)
  return { inner: part, fallback }
}

/** The other kinds of address, which the walk above cannot see beside the first. */
const unixListen = { 'listen.path': '', 'listen.mode': '', 'listen.owner': '', 'listen.fd': '' }

const sections = page.split('\n## ')
const rows = (section: string | undefined, columns: number) =>
  [...(section ?? '').matchAll(new RegExp(`^\\| \`([\\w.]+)\` ${'\\| (.*?) ?'.repeat(columns)}\\|$`, 'gm'))].map((match) => match.slice(1))

test('docs/reference/configuration.md lists every option with its default, and no other', (t) => {
  const optionRows = rows(sections.find((text) => text.startsWith('Options'))?.split('\n### ')[0], 3)
  const documented = Object.fromEntries(optionRows.map(([name, , fallback]) => [name, fallback?.replace(/^`|`$/g, '')]))
  t.deepEqual(documented, { ...optionsOf(configSchema as Part), ...unixListen })
})

test('docs/reference/configuration.md lists every member of a port', (t) => {
  const part = page.split('### Ports\n')[1]?.split('\n### ')[0]
  t.deepEqual(
    rows(part, 2).map(([name]) => name),
    Object.keys(unwrap(portSchema as Part, {}).inner.entries ?? {}),
  )
})

test('docs/reference/udp.md lists every member of a UDP port', (t) => {
  const part = readFileSync(new URL('../../docs/reference/udp.md', import.meta.url), 'utf8').split('## The port\n')[1]?.split('\n## ')[0]
  t.deepEqual(
    rows(part, 2).map(([name]) => name),
    Object.keys(unwrap(portSchema as Part, { protocol: 'udp' }).inner.entries ?? {}),
  )
})

test('docs/reference/configuration.md lists every environment variable', (t) => {
  const documented = rows(sections.find((text) => text.startsWith('Environment variables')), 1)
  t.deepEqual(
    documented,
    overrides.map(({ option, variables }) => [option, variables.map((name) => `\`${name}\``).join(', ')]),
  )
})

test('the schema knows every life-cycle event of the server', (t) => {
  const api = readFileSync(new URL('../../src-ts/process/api.ts', import.meta.url), 'utf8')
  const body = /export interface LifecycleEvents \{(.*?)\n\}/s.exec(api)?.[1] ?? ''
  t.deepEqual(
    [...body.matchAll(/^ {2}(\w+): \[/gm)].map((match) => match[1]),
    [...lifecycleEvents],
  )
})
