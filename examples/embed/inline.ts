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

process.once('SIGTERM', () => void server.shutdown())
// Last: who reads it may send a signal at once.
console.log(`listening on ${server.url}`)
