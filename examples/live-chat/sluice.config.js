import { defineConfig } from 'sluice'

export default defineConfig({
  // The process's name: `kill -USR1 $(pidof sluice-chat)` reloads it.
  name: 'sluice-chat',
  app: './app.js',
  listen: { host: '127.0.0.1', port: 5200 },
  workers: 2,
  // Small, so that `/crash oom` and `/crash loop` take seconds rather than minutes.
  resourceLimits: { maxOldGenerationSizeMb: 128 },
  stuckAfter: 2000,
})
