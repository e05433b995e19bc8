/** `sluice.mjs echo|broadcast`: one worker, which reads from the environment what it has to do. */
import { createServer } from '../../../dist/index.js'

process.env.BENCHMARK_ANSWER = process.argv[2]
const app = new URL('../apps/sluice.mjs', import.meta.url)
const server = await createServer({ listen: { host: '127.0.0.1', port: 0 }, app, workers: 1 })
console.log(`port ${new URL(server.url).port}`)
