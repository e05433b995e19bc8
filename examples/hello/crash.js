// Four ways for a worker to die. The server, its connections and the other workers go on.

const ways = {
  throw() {
    throw new Error('The example was asked to throw outside a handler')
  },
  exit() {
    process.exit(7)
  },
  loop() {
    for (;;);
  },
  oom() {
    const kept = []
    for (;;) kept.push(Array.from({ length: 100_000 }, (_, i) => i + kept.length))
  },
}

/**
 * Answers, then brings this worker down. It takes `HELLO_CRASH=1` in the environment: an example that somebody
 * puts on the internet must not be a way to shoot at it.
 */
export function crash(how, ctx) {
  if (process.env['HELLO_CRASH'] !== '1') return Response.json({ error: 'Start the server with HELLO_CRASH=1 to allow this' }, { status: 403 })
  if (how === null || !Object.hasOwn(ways, how)) return Response.json({ error: `Say how: ${Object.keys(ways).join(', ')}` }, { status: 400 })
  // From a callback of its own, so that the error is nobody's: what a handler throws is only a 500.
  ctx.after(() => setImmediate(ways[how]))
  return Response.json({ worker: ctx.worker.name, dies: how })
}
