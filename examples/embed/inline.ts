// A server inside a program: the handler runs on this thread, and sees its variables.
import { serve } from 'sluice'

let visits = 0

const server = await serve({
  port: Number(process.env['PORT'] ?? 5201),
  fetch(req) {
    visits += 1
    return Response.json({ path: new URL(req.url).pathname, visits })
  },
})

console.log(`listening on ${server.url}`)
process.once('SIGTERM', () => void server.shutdown())
