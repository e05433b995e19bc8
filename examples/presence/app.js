// Who is online: people with any number of pages open, in rooms, kept in tables that every worker reads and writes.
import { defineApp, defineTable, defineTask, defineWebSocket, rateLimit, server, t } from 'sluice'

/** Most pages that are open at once. */
const PAGES_MAX = 10_000

/** By connection: whose it is. */
const pages = defineTable('pages', { size: PAGES_MAX, columns: { uid: t.string(32), room: t.string(32), since: t.float() } })
/** By person: how many pages they have open. */
const people = defineTable('people', { size: PAGES_MAX, columns: { pages: t.int(), room: t.string(32), since: t.float() } })

/** Five messages a second each, ten at once. The same bucket in every worker. */
const messages = rateLimit('messages', { limit: 5, per: 1000, burst: 10 })

const presence = defineWebSocket({
  path: '/presence',
  options: { maxPayload: 1024 },

  upgrade(req, ctx) {
    const [uid, room] = ['uid', 'room'].map((name) => ctx.url.searchParams.get(name) ?? '')
    return [uid, room].every((name) => /^[\w-]{1,32}$/.test(name)) ? { state: { uid, room } } : new Response('A uid and a room, please\n', { status: 400 })
  },

  open(ws) {
    const { uid, room } = ws.state
    const since = Date.now()
    pages.set(String(ws.id), { uid, room, since })
    // One step, so that two pages that are opened in two workers at once are two.
    if (people.incr(uid, 'pages') === 1) people.set(uid, { room, since })
    ws.subscribe(`room:${room}`)
    ws.send(JSON.stringify({ type: 'welcome', uid, online: online() }))
  },

  message(ws, data) {
    const { uid, room } = ws.state
    const { ok, retryAfter } = messages.take(uid)
    if (!ok) return void ws.send(JSON.stringify({ type: 'slow-down', retryAfter }))
    ws.publish(`room:${room}`, JSON.stringify({ type: 'said', uid, text: String(data).slice(0, 500) }))
  },

  // Comes once for each open, also when the worker that had it has died.
  close(ws) {
    const { uid } = ws.state
    pages.delete(String(ws.id))
    // Gone only if nobody has opened another page meanwhile.
    if (people.decr(uid, 'pages') <= 0) people.compareDelete(uid, { pages: 0 })
  },
})

/** Tells every page how many are there. */
const tell = defineTask('tell', () => {
  server.publish('counts', JSON.stringify(counts()), { retain: true })
})

// Each worker says so at its start; there is one timer, and each time it runs in one of them.
server.on('workerStart', () => void server.timer.every('tell', 1000, tell.call()))

export default defineApp({
  websocket: presence,
  fetch(req, ctx) {
    const { pathname } = ctx.url
    if (req.method !== 'GET') return new Response(null, { status: 405, headers: { allow: 'GET' } })
    if (pathname === '/counts') return ctx.sse({ topics: ['counts'], retry: 1000 }).response
    if (pathname === '/online') return Response.json(online())
    return new Response('Nothing is here\n', { status: 404 })
  },
})

function online() {
  return [...people.entries()].map(([uid, { pages: open, room, since }]) => ({ uid, pages: open, room, since })).sort((a, b) => a.since - b.since)
}

function counts() {
  const rooms = {}
  for (const [, { room }] of people.entries()) rooms[room] = (rooms[room] ?? 0) + 1
  return { people: people.size, pages: pages.size, rooms }
}
