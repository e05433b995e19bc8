import express from 'express'

const hello = 'Hello, world!'
const app = express()
// Nobody else hashes the body or names itself, so neither does this peer.
app.disable('etag')
app.disable('x-powered-by')

app.get('/', (_req, res) => res.type('text').send(hello))
app.get('/json', (_req, res) => res.json({ message: hello }))
app.get('/async', async (_req, res) => {
  await null
  res.type('text').send(hello)
})
app.get('/headers', (req, res) =>
  req.get('authorization') && req.get('x-request-id') ? res.type('text').send(hello) : res.status(400).end()
)
app.post('/echo', express.raw(), (req, res) => res.type('application/octet-stream').send(req.body))

const server = app.listen(0, '127.0.0.1', 4096, () => console.log(`port ${server.address().port}`))
