import ava from 'ava'
import { Workplace } from './command.ts'

const test = ava.serial

const app = `
import { defineTable, t } from 'sluice'
const users = defineTable('users', { size: 1000, columns: { id: t.int(), name: t.string(16), raw: t.bytes(4) } })
defineTable('empty', { size: 10, columns: { n: t.int() } })
for (let id = 0; id < 150; id++) users.set('user:' + id, { id, name: 'User "' + id + '"', raw: new Uint8Array([id]) })
export default { fetch: () => new Response('') }
`

test('sluice table lists the tables of the running server, and rows of one', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app })
  await place.serve()
  const { code, stdout } = await place.run(['table'])
  t.is(code, 0)
  t.regex(stdout, /^table +rows +of +memory\nempty +0 +10 +\d+\.\d MiB\nusers +150 +1000 +\d+\.\d MiB\n$/)
  t.like(JSON.parse((await place.run(['table', '--json'])).stdout)[1], { name: 'users', rows: 150, capacity: 1000 })

  t.like(await place.run(['table', 'users', '--key', 'user:7']), { code: 0, stdout: 'user:7  id=7  name="User \\"7\\""  raw=07\n' })
  t.like(await place.run(['table', 'users', '--key', 'user:7', '--json']), { code: 0, stdout: '{"id":7,"name":"User \\"7\\"","raw":"Bw=="}\n' })
  t.like(await place.run(['table', 'users', '--key', 'nobody']), { code: 1, stdout: 'No such row\n' })

  const some = await place.run(['table', 'users', '--prefix', 'user:14', '--json'])
  t.deepEqual(some.stdout.trim().split('\n').map((line) => (JSON.parse(line) as { key: string }).key).sort(), ['user:14', ...Array.from({ length: 10 }, (_, digit) => `user:14${digit}`)].sort())
  const cut = await place.run(['table', 'users'])
  t.is(cut.stdout.trim().split('\n').length, 100)
  t.regex(cut.stderr, /More than 100 rows/)
  t.is((await place.run(['table', 'users', '--limit', '3'])).stdout.trim().split('\n').length, 3)
  t.is((await place.run(['table', 'users', '--limit', 'x'])).code, 2)
  const unknown = await place.run(['table', 'nobody'])
  t.is(unknown.code, 1)
  t.regex(unknown.stderr, /no table "nobody".*There are: empty, users.*ERR_SLUICE_TABLE_FILE/)
})

test('sluice table without a server says that there are none', async (t) => {
  const place = new Workplace(t)
  const { code, stdout } = await place.run(['table', '--state-dir', place.file('nowhere')])
  t.is(code, 1)
  t.regex(stdout, /^No tables/)
})
