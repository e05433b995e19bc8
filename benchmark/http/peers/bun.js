import app from '../apps/hello.js'

const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: app.fetch })
console.log(`port ${server.port}`)
