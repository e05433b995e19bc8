import { defineTask, server } from '../../../dist/index.js'
import { loop } from '../loop.mjs'

const noop = defineTask('noop', (input) => input)
server.on('message', async (_from, { inflight, millis }) => server.postMessage('main', await loop(() => noop.run(7), inflight, millis)))

export default { fetch: () => new Response() }
