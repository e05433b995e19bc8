// The example that `npm start` runs: a page, a JSON API, a streamed answer, a streamed upload, and ways to crash.
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { defineApp } from 'sluice'

import { crash } from './crash.js'
import { page } from './page.js'

const users = new Map([
  ['1', { id: '1', name: 'Ada Lovelace' }],
  ['2', { id: '2', name: 'Grace Hopper' }],
])

export default defineApp({
  async fetch(req, ctx) {
    const { pathname, searchParams } = ctx.url
    const [, first, second, third, ...rest] = pathname.split('/')

    if (pathname === '/') return allow(req, 'GET') ?? html(page(ctx.worker))
    if (first === 'api' && second === 'users' && third && rest.length === 0) return allow(req, 'GET') ?? user(third)
    if (pathname === '/stream') return allow(req, 'GET') ?? new Response(ReadableStream.from(lines(ctx)), { headers: { 'content-type': 'text/plain;charset=UTF-8' } })
    if (pathname === '/upload') return allow(req, 'POST') ?? Response.json(await digest(req))
    if (pathname === '/crash') return allow(req, 'POST') ?? crash(searchParams.get('how'), ctx)
    return Response.json({ error: `Nothing is at ${pathname}` }, { status: 404 })
  },
})

function user(id) {
  const found = users.get(id)
  return found ? Response.json(found) : Response.json({ error: `There is no user ${JSON.stringify(id)}` }, { status: 404 })
}

/** Ten lines, one every 100 ms. When the client leaves, `ctx.signal` ends the wait and with it the stream. */
async function* lines(ctx) {
  const encoder = new TextEncoder()
  for (let i = 1; i <= 10; i++) {
    yield encoder.encode(`line ${i} of 10 from ${ctx.worker.name}\n`)
    if (i < 10) await sleep(100, undefined, { signal: ctx.signal })
  }
}

/** Hashes a body of any size as it arrives: what is in memory is one chunk, because Sluice reads on only when the loop asks. */
async function digest(req) {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of req.body ?? []) {
    hash.update(chunk)
    bytes += chunk.byteLength
  }
  return { bytes, sha256: hash.digest('hex') }
}

function html(text) {
  return new Response(text, { headers: { 'content-type': 'text/html;charset=UTF-8' } })
}

/** The answer to a method that this address has no use for; undefined for the one it wants. HEAD goes wherever GET goes. */
function allow(req, method) {
  if (req.method === method || (method === 'GET' && req.method === 'HEAD')) return undefined
  return new Response(null, { status: 405, headers: { allow: method === 'GET' ? 'GET, HEAD' : method } })
}
