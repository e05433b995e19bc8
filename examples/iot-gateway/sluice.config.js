import { defineConfig } from 'sluice'

export default defineConfig({
  // The process's name: `kill -USR1 $(pidof sluice-iot)` reloads it.
  name: 'sluice-iot',
  app: './app.js',
  listen: { host: '127.0.0.1', port: 5290 },
  // The page is sent by the core, without asking a worker.
  static: { root: './page', cacheControl: 'no-cache' },
  workers: 2,
  ports: {
    // Where a person talks to the gateway: `telnet 127.0.0.1 5291`.
    console: { protocol: 'tcp', listen: { port: 5291 }, framing: 'lines', maxMessage: 1024 },
    // Packets, in one direction: `echo hi > /dev/udp/127.0.0.1/5292`.
    telemetry: { protocol: 'udp', listen: { port: 5292 } },
    // Devices that stay connected: a length of two bytes, then JSON. Who is silent for a minute is gone.
    devices: { protocol: 'tcp', listen: { port: 5293 }, framing: { length: 'u16be', strip: true }, maxMessage: 4096, heartbeat: { idle: 60_000 } },
  },
})
