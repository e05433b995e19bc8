import fastify from 'fastify'

const hello = 'Hello, world!'
const app = fastify()

app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_req, body, done) => done(null, body))
app.get('/', (_req, reply) => reply.send(hello))
app.get('/json', (_req, reply) => reply.send({ message: hello }))
app.get('/async', async () => {
  await null
  return hello
})
app.get('/headers', (req, reply) =>
  req.headers.authorization && req.headers['x-request-id'] ? reply.send(hello) : reply.code(400).send('')
)
app.post('/echo', (req, reply) => reply.send(req.body))

await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
console.log(`port ${app.server.address().port}`)
