/** `sluice tasks` as whoever looks after a server has it: also after the server was killed. */
import test from 'ava'

import { get, Workplace } from './command.ts'

const app = `
import { existsSync } from 'node:fs'
import { defineTask } from 'sluice'

const send = defineTask('send', ({ to }) => {
  if (!existsSync('repaired')) throw Object.assign(new Error(\`no way to \${to}\\nas the second line says\`), { status: 503 })
  console.log(\`sent to \${to}\`)
}, { finish: (_, { to }) => console.log(\`finished \${to}\`), failed: ({ status }, { to }) => console.log(\`given up \${to}: \${status}\`) })

export default async (request) => {
  const handles = new URL(request.url).searchParams.getAll('to').map((to) => send.deliver({ to }))
  await Promise.all(handles.map((handle) => handle.stored))
  await Promise.allSettled(handles)
  return new Response(handles.map(({ id }) => id).join())
}
`
const config = `export default { app: './app.mjs', tasks: { workers: 1, durable: { path: './tasks.log' } } }`

test('failed tasks are listed, tried again and forgotten, also those from before a kill', async (t) => {
  const place = new Workplace(t, { 'app.mjs': app, 'sluice.config.mjs': config })
  const first = await place.serve()
  t.like(await place.run(['tasks', '--failed']), { code: 0, stdout: 'No failed tasks\n' })
  const [ada = '', bob = '', eve = ''] = (await get(`${first.url}/?to=ada&to=bob&to=eve`)).split(',')
  await first.said(/given up eve: 503/)
  t.regex((await place.run(['tasks'])).stdout, /^queue +waiting +delayed +running +done +failed\ndefault +0 +0 +0 +0 +3\n\n3 failed tasks kept: sluice tasks --failed\n$/)
  // The end of the last one is written with what is stored next.
  const last = await get(`${first.url}/?to=zoe`)
  first.kill('SIGKILL')
  await first.ended

  const second = await place.serve()
  const { stdout } = await place.run(['tasks', '--failed'])
  for (const [id, to] of [[ada, 'ada'], [bob, 'bob'], [eve, 'eve']]) t.regex(stdout, new RegExp(`^${id} +send +default +1 +\\d{4}-\\S+Z +no way to ${to}$`, 'm'))
  t.false(stdout.includes('second line'))

  // Still not repaired.
  t.like(await place.run(['tasks', '--retry', ada]), { code: 0, stdout: '1 task delivered again\n' })
  await second.said(/given up ada: 503/)
  t.like(await place.run(['tasks', '--forget', bob]), { code: 0, stdout: '1 task forgotten\n' })
  t.like(await place.run(['tasks', '--retry', bob]), { code: 1, stdout: '0 tasks delivered again\n' })
  const { failed } = JSON.parse((await place.run(['tasks', '--json'])).stdout) as { failed: { id: string; error: { message: string } }[] }
  t.deepEqual(failed.map(({ id }) => id).filter((id) => id !== last), [eve, ada])

  place.write('repaired', '')
  t.regex((await place.run(['tasks', '--retry', 'all'])).stdout, /^[23] tasks delivered again\n$/)
  await second.said(/finished ada/)
  await second.said(/finished eve/)
  t.false(/(sent to|finished) bob/.test(second.output))
  t.like(await place.run(['tasks', '--failed']), { code: 0, stdout: 'No failed tasks\n' })
  t.like(await place.run(['tasks', '--retry', 'x']), { code: 2 })
  t.like(await place.run(['tasks', '--retry', ada, '--forget', eve]), { code: 2 })
})
