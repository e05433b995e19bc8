import { readFileSync } from 'node:fs'
import test from 'ava'
import { satisfies } from '../../scripts/requirements.mjs'

const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { engines: { node: string } }

for (const [version, isSupported] of [
  ['18.20.0', false],
  ['20.18.3', false],
  ['20.19.0', true],
  ['21.7.0', false],
  ['22.11.0', false],
  ['22.12.0', true],
  ['23.11.0', false],
  ['24.0.0', true],
  ['26.1.0', true],
] as const) {
  test(`Node.js ${version} is ${isSupported ? 'accepted' : 'refused'}`, (t) => t.is(satisfies(version, engines.node), isSupported))
}

test('a range of another form is refused rather than misread', (t) => {
  t.throws(() => satisfies('20.19.0', '>=20 <25'), { instanceOf: TypeError, message: /">=20 <25"/ })
})
