const text = { 'content-type': 'text/plain;charset=UTF-8' }
const last = { ...text, connection: 'close' }

export default {
  fetch: (req) => new Response('Hello, world!', { headers: req.url.endsWith('/close') ? last : text })
}
