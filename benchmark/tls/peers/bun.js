/** `bun.js CERT KEY` */
import app from '../app.js'

const [cert, key] = process.argv.slice(2).map((file) => Bun.file(file))
const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: app.fetch, tls: { cert, key } })
console.log(`port ${server.port}`)
