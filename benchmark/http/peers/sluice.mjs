/**
 * `sluice.mjs [--workers N | --inline | --floor] [--config JSON]`
 *
 * `--floor` answers from the reactor without any JavaScript, through the addon alone: what our own network
 * half costs. `--inline` runs the handler on the main thread. `--config` is merged over the configuration.
 */
import { parseArgs } from 'node:util'

const { values: flags } = parseArgs({
  options: {
    workers: { type: 'string', default: '1' },
    inline: { type: 'boolean', default: false },
    floor: { type: 'boolean', default: false },
    config: { type: 'string', default: '{}' }
  }
})
const extra = JSON.parse(flags.config)

async function startFloor() {
  const native = await import('../../../index.js')
  const listen = { host: '127.0.0.1', port: 0 }
  const server = native.startServer(JSON.stringify({ ports: [{ name: 'main', listen, fixedAnswer: 'Hello, world!' }], ...extra }))
  native.attachMaster(server, () => {})
  native.acceptConnections(server)
  return JSON.parse(native.serverInfo(server)).ports[0].port
}

async function startServer() {
  const { createServer, serve } = await import('../../../dist/index.js')
  const config = { listen: { host: '127.0.0.1', port: 0 }, ...extra }
  if (flags.inline) {
    const { default: app } = await import('../apps/hello.js')
    return Number(new URL((await serve(app, config)).url).port)
  }
  const app = new URL('../apps/hello.js', import.meta.url)
  return Number(new URL((await createServer({ ...config, app, workers: Number(flags.workers) })).url).port)
}

console.log(`port ${flags.floor ? await startFloor() : await startServer()}`)
