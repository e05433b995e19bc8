/** `sluice.mjs CERT KEY` */
import { createServer } from '../../../dist/index.js'

const [cert, key] = process.argv.slice(2)
const app = new URL('../app.js', import.meta.url)
const server = await createServer({ app, workers: 1, stateDir: false, listen: { host: '127.0.0.1', port: 0 }, tls: { cert, key } })
console.log(`port ${new URL(server.url).port}`)
