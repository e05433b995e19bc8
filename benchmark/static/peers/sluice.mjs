/** `sluice.mjs ROOT [--app]`: the files of ROOT by `static`, or with `--app` by a worker with `ctx.file()`. */
import { createServer } from '../../../dist/index.js'

const [root, byApp] = process.argv.slice(2)
const app = new URL('app.mjs', import.meta.url)
const config = { app, workers: 1, core: { threads: 1 }, listen: { host: '127.0.0.1', port: 0 }, stateDir: false, root }
const server = await createServer(byApp === undefined ? { ...config, static: { root } } : config)
console.log(`port ${new URL(server.url).port}`)
