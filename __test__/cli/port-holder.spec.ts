import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import test from 'ava'
import { portHolder } from '../../src-ts/cli/port-holder.ts'

const onLinux = existsSync('/proc/net/tcp') ? test : test.skip

for (const host of ['127.0.0.1', '::']) {
  onLinux(`portHolder() finds who listens on ${host}`, async (t) => {
    const server = createServer().listen(0, host)
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    t.is(portHolder(port)?.pid, process.pid)
    server.close()
    await once(server, 'close')
    t.is(portHolder(port), undefined)
  })
}
