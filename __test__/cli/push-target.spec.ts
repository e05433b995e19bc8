import test from 'ava'
import { parsePushTarget } from '../../src-ts/cli/push-target.ts'

for (const [text, target] of [
  ['all', { kind: 'all' }],
  ['17', { kind: 'id', id: 17 }],
  ['9007199254740991', { kind: 'id', id: Number.MAX_SAFE_INTEGER }],
  ['uid:7', { kind: 'uid', name: '7' }],
  ['group:a:b', { kind: 'group', name: 'a:b' }],
  ['topic: two\nlines ', { kind: 'topic', name: ' two\nlines ' }],
  [`topic:${'ä'.repeat(127)}x`, { kind: 'topic', name: `${'ä'.repeat(127)}x` }],
] as const) {
  test(`${JSON.stringify(text.slice(0, 30))} is a target`, (t) => {
    t.deepEqual(parsePushTarget(text), target)
  })
}

for (const text of ['', '0', '-1', '1.5', '1e3', '9007199254740992', 'All', 'uid:', 'user:7', 'topic', `topic:${'ä'.repeat(128)}`]) {
  test(`${JSON.stringify(text.slice(0, 30))} (${text.length} characters) is refused`, (t) => {
    t.throws(() => parsePushTarget(text), { instanceOf: TypeError, code: 'ERR_SLUICE_INVALID_ARG', message: /uid:NAME, group:NAME or topic:NAME/ })
  })
}
