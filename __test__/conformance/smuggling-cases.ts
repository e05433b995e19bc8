/** Requests that must be refused, named after what is wrong with them. */

export interface SmugglingCase {
  readonly name: string
  /** latin1. Complete: nothing more is needed to see that it is wrong. */
  readonly bytes: string
  readonly statuses: readonly number[]
}

const bad: readonly number[] = [400]
/** RFC 9112 section 6.1 lets a server say that it does not know a transfer coding. */
const badCoding: readonly number[] = [400, 501]

export const smugglingCases: readonly SmugglingCase[] = [
  ...lengths(),
  ...codings(),
  ...chunks(),
  ...lines(),
  ...names(),
]

function lengths(): SmugglingCase[] {
  const values = ['+5', '-5', '5 5', '0x5', '5,5', '5, 5', '5,', ',5', '5;', '5.0', '', 'five', '18446744073709551616', '9223372036854775808', '1'.repeat(30), '５']
  return [
    ...values.map((value) => of(`Content-Length: ${JSON.stringify(value)}`, [`Content-Length: ${latin1(value)}`], 'abcde')),
    of('Content-Length twice, equal', ['Content-Length: 5', 'Content-Length: 5'], 'abcde'),
    of('Content-Length twice, different', ['Content-Length: 5', 'Content-Length: 6'], 'abcdef'),
    of('Content-Length and Transfer-Encoding', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
    of('Transfer-Encoding and Content-Length', ['Transfer-Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'),
  ]
}

function codings(): SmugglingCase[] {
  const values = ['gzip', 'gzip, chunked', 'chunked, chunked', 'chunked, gzip', 'chunked,', ',chunked', 'xchunked', 'chunkedx', 'chunked;q=1', '"chunked"', 'identity', 'identity, chunked', '', '\x0bchunked', 'chunked\x00', 'chu nked']
  return [
    ...values.map((value) => of(`Transfer-Encoding: ${JSON.stringify(value)}`, [`Transfer-Encoding: ${value}`], '0\r\n\r\n', badCoding)),
    of('Transfer-Encoding twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n', badCoding),
    of('Transfer-Encoding twice, one unknown', ['Transfer-Encoding: chunked', 'Transfer-Encoding: x'], '0\r\n\r\n', badCoding),
    of('Transfer-Encoding folded', ['Transfer-Encoding:', ' chunked'], '0\r\n\r\n'),
    {
      name: 'Transfer-Encoding on HTTP/1.0',
      bytes: 'POST /echo HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      statuses: badCoding,
    },
  ]
}

function chunks(): SmugglingCase[] {
  const bodies: Record<string, string> = {
    'a chunk size with a plus': '+5\r\nabcde\r\n0\r\n\r\n',
    'a chunk size with a minus': '-5\r\nabcde\r\n0\r\n\r\n',
    'a chunk size with 0x': '0x5\r\nabcde\r\n0\r\n\r\n',
    'a chunk size with a space in front': ' 5\r\nabcde\r\n0\r\n\r\n',
    'a chunk size with a space behind': '5 \r\nabcde\r\n0\r\n\r\n',
    'a chunk size with a tab': '5\t\r\nabcde\r\n0\r\n\r\n',
    'a chunk size that is not hex': 'g\r\nabcde\r\n0\r\n\r\n',
    'an empty chunk size': '\r\nabcde\r\n0\r\n\r\n',
    'a chunk size that overflows 64 bits': '10000000000000005\r\nabcde\r\n0\r\n\r\n',
    'a chunk size that overflows 63 bits': '8000000000000005\r\nabcde\r\n0\r\n\r\n',
    'a chunk size line ended by LF': '5\nabcde\r\n0\r\n\r\n',
    'a chunk size line ended by CR': '5\rabcde\r\n0\r\n\r\n',
    'chunk data ended by LF': '5\r\nabcde\n0\r\n\r\n',
    'chunk data longer than its size': '5\r\nabcdef\r\n0\r\n\r\n',
    'chunk data shorter than its size': '5\r\nabc\r\n0\r\n\r\n',
    'a bare LF in a chunk extension': '5;a\nb\r\nabcde\r\n0\r\n\r\n',
    'a bare CR in a chunk extension': '5;a\rb\r\nabcde\r\n0\r\n\r\n',
    'an endless chunk extension': `5;${'a'.repeat(9_000)}\r\nabcde\r\n0\r\n\r\n`,
    'a last chunk ended by LF': '0\n\r\n',
    'a trailer section ended by LF': '0\r\n\n',
    'a trailer without a colon': '0\r\ntrailer\r\n\r\n',
    'a trailer with a space before the colon': '0\r\nX-T : 1\r\n\r\n',
    'a trailer ended by LF': '0\r\nX-T: 1\n\r\n',
    'a folded trailer': '0\r\nX-T: 1\r\n 2\r\n\r\n',
    'a trailer with a NUL': '0\r\nX-T: \x00\r\n\r\n',
  }
  return Object.entries(bodies).map(([name, body]) => of(name, ['Transfer-Encoding: chunked'], body))
}

function lines(): SmugglingCase[] {
  const bytes: Record<string, string> = {
    'a request line ended by LF': 'GET / HTTP/1.1\nHost: test\r\n\r\n',
    'a field line ended by LF': 'GET / HTTP/1.1\r\nHost: test\nX: 1\r\n\r\n',
    'a head ended by LF LF': 'GET / HTTP/1.1\nHost: test\n\n',
    'a bare CR in the request line': 'GET /\r HTTP/1.1\r\nHost: test\r\n\r\n',
    'a bare CR in a field value': 'GET / HTTP/1.1\r\nHost: test\r\nX: a\rb\r\n\r\n',
    'a NUL in a field value': 'GET / HTTP/1.1\r\nHost: test\r\nX: a\x00b\r\n\r\n',
    'a NUL in the target': 'GET /\x00 HTTP/1.1\r\nHost: test\r\n\r\n',
    'a control byte in a field value': 'GET / HTTP/1.1\r\nHost: test\r\nX: a\x01b\r\n\r\n',
    'obs-fold': 'GET / HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n',
    'obs-fold with a tab': 'GET / HTTP/1.1\r\nHost: test\r\nX: a\r\n\tb\r\n\r\n',
    'a first field line that begins with a space': 'GET / HTTP/1.1\r\n Host: test\r\n\r\n',
    'two spaces in the request line': 'GET  / HTTP/1.1\r\nHost: test\r\n\r\n',
    'a space behind the version': 'GET / HTTP/1.1 \r\nHost: test\r\n\r\n',
    'a tab in the request line': 'GET\t/ HTTP/1.1\r\nHost: test\r\n\r\n',
    'a space in front of the method': ' GET / HTTP/1.1\r\nHost: test\r\n\r\n',
  }
  return [
    ...Object.entries(bytes).map(([name, text]) => ({ name, bytes: text, statuses: bad })),
    { name: 'HTTP/0.9', bytes: 'GET /\r\n\r\n', statuses: [400, 505] },
  ]
}

function names(): SmugglingCase[] {
  return [
    of('a space before the colon of Content-Length', ['Content-Length : 5'], 'abcde'),
    of('a tab before the colon of Transfer-Encoding', ['Transfer-Encoding\t: chunked'], '0\r\n\r\n'),
    of('a field line without a colon', ['Content-Length'], ''),
    of('an empty field name', [': 5'], ''),
    of('a field name in quotes', ['"Content-Length": 5'], 'abcde'),
    of('a field name with a NUL', ['Content\x00Length: 5'], 'abcde'),
    of('a field name with a byte above 0x7F', ['Content-Length\xa0: 5'], 'abcde'),
  ]
}

function of(name: string, fields: readonly string[], body: string, statuses: readonly number[] = bad): SmugglingCase {
  return { name, bytes: ['POST /echo HTTP/1.1', 'Host: test', ...fields, '', body].join('\r\n'), statuses }
}

/** What a careless UTF-8 client would send. */
function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}
