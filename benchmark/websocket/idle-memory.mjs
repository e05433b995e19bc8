/** What an open WebSocket that has nothing to do costs in resident memory. */
import { clientCore } from '../support/cores.mjs'
import { residentBytes } from '../support/threads.mjs'
import { LoadClient } from './load-client.mjs'
import { requireOpenFiles } from './load-case.mjs'

const warmUp = { args: ['echo', '--bytes', '64', '--kind', 'text'], connections: 64, seconds: 1, core: clientCore }

/**
 * Bytes of server memory per connection that has had one message echoed. The server is warmed up with load first, so
 * that its heap has its working size and the growth is the connections'.
 */
export async function idleConnectionBytes(server, { connections }, { loadClient }) {
  requireOpenFiles(server, connections)
  await running({ ...warmUp, port: server.port }, async (client) => {
    await client.ready()
    await client.result()
  })
  const before = residentBytes(server.pid)
  const idle = { args: ['idle'], port: server.port, connections, seconds: 0, core: clientCore }
  return running(idle, async (client) => {
    await client.ready()
    return (residentBytes(server.pid) - before) / connections
  })

  async function running(options, use) {
    const client = LoadClient.start(loadClient, options)
    try {
      return await use(client)
    } finally {
      await client.end()
    }
  }
}
