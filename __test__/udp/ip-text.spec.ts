import test from 'ava'
import fc from 'fast-check'
import { ipv4Text, ipv6Text } from '../../src-ts/udp/ip-text.ts'

test('ipv4Text() reads the number as it stands in a record, signed or not', (t) => {
  t.is(ipv4Text(0x7f000001), '127.0.0.1')
  t.is(ipv4Text(0xc0a80102), '192.168.1.2')
  t.is(ipv4Text(0xc0a80102 | 0), '192.168.1.2')
  t.is(ipv4Text(0), '0.0.0.0')
})

test('ipv6Text() writes addresses as URLs have them', (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 }), (groups) => {
      const bytes = Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]))
      const url = new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]/`)
      t.is(`[${ipv6Text(bytes, 0)}]`, url.hostname)
    }),
  )
  t.is(ipv6Text(Uint8Array.of(0xfe, 0x80, ...Array<number>(13).fill(0), 1), 3), 'fe80::1%3')
})
