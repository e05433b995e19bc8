/** One measurement in a process of its own: `node measure.mjs PEER INFLIGHT MILLISECONDS` prints JSON of what `loop.mjs` gives, after a warm-up of half the time. */
const [name, inflight, millis] = process.argv.slice(2)
const { open } = await import(`./peers/${name}.mjs`)
const peer = await open()
await peer.measure(Number(inflight), Number(millis) / 2)
console.log(JSON.stringify(await peer.measure(Number(inflight), Number(millis))))
await peer.close()
process.exit(0)
