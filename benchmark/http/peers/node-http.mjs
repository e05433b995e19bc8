import { createServer } from 'node:http'

const hello = 'Hello, world!'
const text = { 'content-type': 'text/plain;charset=UTF-8', 'content-length': hello.length }

const sendHello = (res) => res.writeHead(200, text).end(hello)

async function later(res) {
  await null
  sendHello(res)
}

function json(res) {
  const body = JSON.stringify({ message: hello })
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
}

function echo(req, res) {
  const chunks = []
  req.on('data', (chunk) => chunks.push(chunk))
  req.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
    res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': body.length }).end(body)
  })
}

const server = createServer((req, res) => {
  switch (req.url) {
    case '/':
      return sendHello(res)
    case '/json':
      return json(res)
    case '/async':
      return void later(res)
    case '/headers':
      return req.headers.authorization && req.headers['x-request-id'] ? sendHello(res) : res.writeHead(400).end()
    case '/echo':
      return echo(req, res)
    default:
      return res.writeHead(404).end()
  }
})
server.listen(0, '127.0.0.1', 4096, () => console.log(`port ${server.address().port}`))
