// What every worker of workers.ts runs. Each has its own count: workers share no variables.
import { defineApp } from 'sluice'

let visits = 0

export default defineApp({
  fetch(_req, ctx) {
    visits += 1
    return Response.json({ worker: ctx.worker.id, visits })
  },
})
