import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { pipeline } from 'node:stream'

const root = process.argv[2]

/** What a careful handler does: look, tell length and time, stream. */
const server = createServer(async (req, res) => {
  const path = root + req.url
  const { size, mtime } = await stat(path)
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size, 'last-modified': mtime.toUTCString() })
  pipeline(createReadStream(path), res, () => {})
})
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
