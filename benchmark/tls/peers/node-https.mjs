/** `node-https.mjs CERT KEY` */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file))
const hello = 'Hello, world!'
const text = { 'content-type': 'text/plain;charset=UTF-8', 'content-length': hello.length }
const last = { ...text, connection: 'close' }
const server = createServer({ cert, key }, (req, res) => res.writeHead(200, req.url === '/close' ? last : text).end(hello))
server.listen(0, '127.0.0.1', 4096, () => console.log(`port ${server.address().port}`))
