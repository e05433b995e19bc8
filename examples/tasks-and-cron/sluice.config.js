import { defineConfig } from 'sluice'
import { jobs } from './jobs.js'

export default defineConfig({
  name: 'sluice-tasks-and-cron',
  app: './app.js',
  listen: { host: '127.0.0.1', port: 5230 },
  workers: 2,
  tasks: { workers: 2, files: './work/*.js', queues: { mail: { concurrency: 1, rate: { limit: 5, per: 1000 } } } },
  cron: { jobs },
  processes: { monitor: { file: './monitor.js', restartInterval: 1000 } },
})
