// Four ways for a worker to die, by what is said in the chat. The pages, their connections and the other worker go on.

const ways = {
  throw() {
    throw new Error('The chat was asked to throw outside a handler')
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
 * Brings this worker down if the text is `/crash` and one of the ways, and says whether it was. It takes `CHAT_CRASH=1`
 * in the environment: an example that somebody puts on the internet must not be a way to shoot at it.
 */
export function crash(text) {
  const [, how] = /^\/crash (\w+)$/.exec(text) ?? []
  if (process.env['CHAT_CRASH'] !== '1' || how === undefined || !Object.hasOwn(ways, how)) return false
  // From a callback of its own, so that the error is nobody's: what a handler throws closes one connection, and the worker lives.
  setImmediate(ways[how])
  return true
}
