const root = process.argv[2]
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch: (req) => new Response(Bun.file(root + req.url.slice(req.url.lastIndexOf('/'))))
})
console.log(`port ${server.port}`)
