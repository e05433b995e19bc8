import { defineConfig } from 'sluice'

export default defineConfig({
  name: 'sluice-counter',
  app: './app.js',
  listen: { host: '127.0.0.1', port: 5210 },
  workers: 2,
})
