import { readFileSync } from 'node:fs'
import test from 'ava'
import { headerId, headerNames } from '../../src-ts/bridge/header-names.ts'

/** The names as the Rust side has them, in order. */
function rustNames(): string[] {
  const source = readFileSync(new URL('../../crates/sluice-core/src/header.rs', import.meta.url), 'utf8')
  const list = /pub const NAMES: &\[&str\] = &\[([^\]]*)\];/.exec(source)?.[1]
  if (list === undefined) throw new Error('header.rs has no list NAMES')
  return Array.from(list.matchAll(/"([^"]+)"/g), (match) => match[1] ?? '')
}

test('headerNames has the names of header.rs in the same order', (t) => {
  const names = rustNames()
  t.true(names.length > 0)
  t.deepEqual([...headerNames], names)
})

test('headerId maps every name to its index', (t) => {
  t.is(headerId.size, headerNames.length)
  for (const [index, name] of headerNames.entries()) t.is(headerId.get(name), index, name)
})

test('headerNames fits below the mark of an unknown name', (t) => {
  t.true(headerNames.length < 0xff)
})
