import { defineConfig } from 'sluice'

export default defineConfig({
  name: 'sluice-presence',
  app: './app.js',
  listen: { host: '127.0.0.1', port: 5220 },
  workers: 2,
  // The page is sent by the core, without asking a worker.
  static: { root: './page', cacheControl: 'no-cache' },
})
