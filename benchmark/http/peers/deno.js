import app from '../apps/hello.js'

Deno.serve({ hostname: '127.0.0.1', port: 0, onListen: ({ port }) => console.log(`port ${port}`) }, app.fetch)
