// Work that does not belong into a request: handed to task workers, done at its times, watched by a process.
import { defineApp, Event, server, Task } from 'sluice'
import { accident } from './work/accident.js'
import { SendMail } from './work/mail.js'
import { Paid } from './work/paid.js'
import { report } from './work/report.js'
import { pushScores } from './work/scores.js'

export default defineApp({
  async fetch(req, ctx) {
    const { pathname, searchParams } = ctx.url
    switch (`${req.method} ${pathname}`) {
      // The answer waits for the task.
      case 'GET /report':
        return Response.json(await report.run({ day: searchParams.get('day') ?? 'today' }, { signal: ctx.signal }))
      // The answer tells how far it is, a line for each step.
      case 'GET /report/progress': {
        const handle = report.deliver({ day: searchParams.get('day') ?? 'today' }, { signal: ctx.signal })
        return new Response(ReadableStream.from(lines(handle)), { headers: { 'content-type': 'application/x-ndjson' } })
      }
      // The answer does not wait.
      case 'POST /mail': {
        const mail = new SendMail(searchParams.get('to') ?? 'ada', { failing: Number(searchParams.get('failing') ?? 0) })
        const { id } = Task.deliver(mail, { queue: 'mail', tries: 4, backoff: { type: 'exponential', base: 50, max: 5000 } })
        return Response.json({ id }, { status: 202 })
      }
      case 'POST /orders': {
        const order = Date.now() % 100_000
        Event.fire(new Paid(order, searchParams.get('customer') ?? 'ada', Number(searchParams.get('amount') ?? 100)))
        return Response.json({ order }, { status: 202 })
      }
      case 'POST /scores':
        return Response.json({ reached: await pushScores.run() })
      case 'GET /scores':
        return ctx.sse({ topics: ['scores'], retry: 1000 }).response
      case 'GET /events':
        return ctx.sse({ topics: ['events'], retry: 1000 }).response
      case 'POST /accident':
        return Response.json(await accident.run())
      case 'GET /monitor':
        return Response.json(await server.process('monitor').request('state', { timeout: 5000 }))
      default:
        return new Response('Nothing is here\n', { status: 404 })
    }
  },
})

async function* lines(handle) {
  const encoder = new TextEncoder()
  for await (const step of handle.progress) yield encoder.encode(`${JSON.stringify(step)}\n`)
  yield encoder.encode(`${JSON.stringify(await handle)}\n`)
}
