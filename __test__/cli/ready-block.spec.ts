import test from 'ava'
import { painter } from '../../src-ts/cli/colour.ts'
import { readyBlock } from '../../src-ts/cli/ready-block.ts'
import { sluiceVersion } from '../../src-ts/version.ts'

const facts = { milliseconds: 84.4, workers: 2, pid: 4711, name: undefined }
const http = (host: string, port: number) => ({ protocol: 'http', url: `http://${host === '0.0.0.0' ? 'localhost' : host}:${port}`, address: { host, port } })

test('readyBlock() says version, time, workers, pid, every address, and how to stop and reload', (t) => {
  const ports = [http('127.0.0.1', 5200), { protocol: 'http', url: 'unix:/run/a.sock', address: { path: '/run/a.sock' } }]
  t.is(
    readyBlock({ ...facts, ports }, painter(false)),
    `
  SLUICE v${sluiceVersion}  ready in 84 ms   (2 workers, pid 4711)
  ➜  http   http://127.0.0.1:5200/
  ➜  http   unix:/run/a.sock
  stop: Ctrl+C, or sluice stop   reload: sluice reload, or kill -USR1 4711

`,
  )
})

test('readyBlock() names the process by its name', (t) => {
  t.true(readyBlock({ ...facts, name: 'shop', ports: [] }, painter(false)).includes('kill -USR1 $(pidof shop)'))
})

test('readyBlock() adds an address for other machines where every address is bound', (t) => {
  const block = readyBlock({ ...facts, ports: [http('0.0.0.0', 80)] }, painter(false))
  t.regex(block, /http:\/\/localhost:80\/(?: {6}Network http:\/\/[\d.]+:80\/)?\n/)
})
