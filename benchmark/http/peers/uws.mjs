import uws from '@rjweb/uws'

const hello = 'Hello, world!'
const text = 'text/plain;charset=UTF-8'
const sendHello = (res) => res.writeHeader('content-type', text).end(hello)

/** The answer must not be touched once the client is gone: uWebSockets.js throws. */
function alive(res) {
  const state = { yes: true }
  res.onAborted(() => (state.yes = false))
  return state
}

async function later(res) {
  const client = alive(res)
  await null
  if (client.yes) res.cork(() => sendHello(res))
}

function echo(res) {
  const client = alive(res)
  let body = Buffer.alloc(0)
  res.onData((chunk, isLast) => {
    // The chunk's memory is uWebSockets' own and dies with this callback; a body in one piece can be sent from it.
    body = body.length === 0 && isLast ? Buffer.from(chunk) : Buffer.concat([body, Buffer.from(chunk)])
    if (isLast && client.yes) res.cork(() => res.writeHeader('content-type', 'application/octet-stream').end(body))
  })
}

const app = uws.App()
app.get('/', sendHello)
app.get('/json', (res) => res.writeHeader('content-type', 'application/json').end(JSON.stringify({ message: hello })))
app.get('/async', (res) => void later(res))
app.get('/headers', (res, req) =>
  req.getHeader('authorization') && req.getHeader('x-request-id') ? sendHello(res) : res.writeStatus('400').end()
)
app.post('/echo', echo)
app.listen('127.0.0.1', 0, (socket) => console.log(`port ${uws.getSocketPort(socket)}`))
