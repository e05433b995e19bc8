/**
 * One measurement in a process of its own: `node measure.mjs PEER CASE INFLIGHT MILLISECONDS` prints JSON of what `loop.mjs` gives, after a warm-up of half the time.
 * CASE is `trip`, there and back, or `always` and `interval`: until it is acknowledged that the task is kept, with an fsync before that, or one each second.
 */
const [name, what, inflight, millis] = process.argv.slice(2)
const { open } = await import(`./peers/${name}.mjs`)
const peer = await open(what)
await peer.measure(Number(inflight), Number(millis) / 2)
console.log(JSON.stringify(await peer.measure(Number(inflight), Number(millis))))
await peer.close()
process.exit(0)
