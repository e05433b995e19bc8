import { defineTask, server } from '../../../dist/index.js'
import { loop } from '../loop.mjs'

const noop = defineTask('noop', (input) => input)
const cases = {
  trip: () => noop.run(7),
  stored: () => noop.deliver(7, { delay: 3_600_000 }).stored
}
server.on('message', async (_from, { what, inflight, millis }) => server.postMessage('main', await loop(cases[what] ?? cases.stored, inflight, millis)))

export default { fetch: () => new Response() }
