// Counts that all workers share. A reload and a crash change none of them, and the views come back after a `kill -9` of the server.
import { join } from 'node:path'

import { AtomicLong, defineApp, defineTable, Lock, server, t } from 'sluice'

const pages = defineTable('pages', {
  size: 1024,
  columns: { views: t.int(), lastAt: t.float() },
  // Anybody can ask for any path: the ones that nobody asked for in a long time make room.
  evict: 'lru',
  persist: join(import.meta.dirname, 'data/pages'),
})
const requests = new AtomicLong('requests')
const cleaning = new Lock('cleaning')

/** What this worker alone has counted: begins anew with each reload. */
let mine = 0

export default defineApp({
  async fetch(req, ctx) {
    const { pathname } = ctx.url
    mine += 1
    const total = requests.add()
    if (pathname === '/top') return Response.json(top(10))
    if (pathname === '/clear' && req.method === 'POST') {
      // Whoever comes while somebody clears waits for his turn, in whichever worker.
      await cleaning.run(() => pages.clear())
      return new Response(null, { status: 204 })
    }
    if (req.method !== 'GET') return new Response(null, { status: 405, headers: { allow: 'GET' } })
    const key = pathname.slice(0, 64)
    const views = pages.incr(key, 'views')
    pages.set(key, { lastAt: Date.now() })
    return Response.json({ path: key, views, requests: Number(total), worker: server.worker.id, mine })
  },
})

/** The pages that were seen most. */
function top(count) {
  const rows = [...pages.entries()].map(([path, { views, lastAt }]) => ({ path, views, last: new Date(lastAt).toISOString() }))
  return rows.sort((a, b) => b.views - a.views).slice(0, count)
}
