import test, { type ExecutionContext } from 'ava'
import { startConfig } from './example.ts'

/** The lines of an answer that goes on; ends with the test. */
async function lines(t: ExecutionContext, url: string): Promise<{ said(text: RegExp): Promise<string> }> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const answer = await fetch(url, { signal: leaving.signal })
  t.is(answer.status, 200)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    async said(pattern) {
      for (;;) {
        const found = pattern.exec(text)
        if (found) {
          text = text.slice(found.index + found[0].length)
          return found[0]
        }
        const { value, done } = await reader.read()
        if (done) throw new Error(`It ended before ${String(pattern)}: ${text}`)
        text += value
      }
    },
  }
}

const post = async (url: string): Promise<Record<string, unknown>> => (await (await fetch(url, { method: 'POST' })).json()) as Record<string, unknown>

test('a report is awaited, and tells how far it is', async (t) => {
  const { url } = await startConfig(t, 'examples/tasks-and-cron/sluice.config.js')
  const events = await lines(t, `${url}/events`)
  const whole = (await (await fetch(`${url}/report?day=monday`)).json()) as { day: string; lines: { region: string }[] }
  t.is(whole.day, 'monday')
  t.deepEqual(whole.lines.map(({ region }) => region), ['north', 'east', 'south', 'west'])
  await events.said(/the report of monday is ready/)
  const steps = (await (await fetch(`${url}/report/progress?day=tuesday`)).text()).trimEnd().split('\n').map((line) => JSON.parse(line) as { done?: number; day?: string })
  t.deepEqual(steps.map(({ done, day }) => done ?? day), [1, 2, 3, 4, 'tuesday'])
})

test('mail is tried again until it is sent or given up, and an event has its listeners', async (t) => {
  const { url } = await startConfig(t, 'examples/tasks-and-cron/sluice.config.js')
  const events = await lines(t, `${url}/events`)
  t.truthy((await post(`${url}/mail?to=ada&failing=2`))['id'])
  await events.said(/mail to ada is sent as <ada\.3@localhost>, after 2 failures/)
  await post(`${url}/mail?to=bob&failing=9`)
  await events.said(/mail to bob is not sent: 451 try again later \(4\)/)
  const { order } = await post(`${url}/orders?customer=eve`)
  await events.said(new RegExp(`order ${String(order)} is shipped`))
  await events.said(/mail to eve is sent as <eve\.1@localhost>, after 0 failures/)
  const { order: large } = await post(`${url}/orders?customer=mallory&amount=10000`)
  await events.said(new RegExp(`order ${String(large)} is held back`))
})

test('a task that ends its worker is tried again in another one', async (t) => {
  const { command, url } = await startConfig(t, 'examples/tasks-and-cron/sluice.config.js')
  t.deepEqual(await post(`${url}/accident`), { attempt: 2 })
  await command.said(/Task worker \d ended: exit/)
})

test('scores come by themselves, and the monitor has seen the port', async (t) => {
  const { command, url } = await startConfig(t, 'examples/tasks-and-cron/sluice.config.js')
  const scores = await lines(t, `${url}/scores`)
  await scores.said(/data: \{"lions-bears":\{"home":\d,"away":\d\}/)
  await scores.said(/data: \{"lions-bears"/)
  t.is((await post(`${url}/scores`))['reached'], 1)
  let state = { checks: 0, failures: 0, lastOk: 0 }
  while (state.lastOk === 0) state = (await (await fetch(`${url}/monitor`)).json()) as typeof state
  t.is(state.failures, 0)
  command.child.kill('SIGTERM')
  t.like(await command.ended, { code: 0 })
})
