import test from 'ava'
import { CodingChoice, contentCodings, isCoded, preferredCoding } from '../../src-ts/http/content-coding.ts'

const chooses = test.macro({
  exec(t, accepted: string, expected: string | undefined) {
    t.is(preferredCoding(accepted, contentCodings), expected as never)
  },
  title: (_, accepted, expected) => `preferredCoding(${JSON.stringify(accepted)}) is ${expected}`,
})

test(chooses, '', undefined)
test(chooses, 'gzip', 'gzip')
test(chooses, 'x-gzip', 'gzip')
test(chooses, 'GZIP, deflate', 'gzip')
test(chooses, 'gzip, deflate, br, zstd', 'zstd')
test(chooses, 'gzip, deflate, br', 'br')
test(chooses, 'gzip, zstd', 'zstd')
test(chooses, 'br;q=0.1, gzip;q=0.9', 'gzip')
test(chooses, 'br ; Q=0.5 ,gzip; q=0.5', 'br')
test(chooses, 'br;q=0, *', 'zstd')
test(chooses, '*;q=0', undefined)
test(chooses, 'identity, gzip;q=0.5', undefined)
test(chooses, 'identity;q=0.5, gzip', 'gzip')
test(chooses, 'identity;q=0', undefined)
test(chooses, 'gzip;q=2', undefined)
test(chooses, 'gzip;q=', undefined)
test(chooses, 'deflate, compress', undefined)

test('preferredCoding() keeps to the order that it is given', (t) => {
  t.is(preferredCoding('gzip, br', ['gzip', 'br']), 'gzip')
  t.is(preferredCoding('gzip, br', ['zstd']), undefined)
})

test('a choice is the same the second time, and tells a coding from none', (t) => {
  const choice = new CodingChoice(['gzip'])
  t.is(choice.of('gzip'), choice.of('gzip'))
  t.true(isCoded(choice.of('gzip')))
  t.false(isCoded(choice.of('br')))
  t.false(isCoded(choice.of(null)))
  t.not(choice.of(null), 0)
  t.false(isCoded(0))
})
