/**
 * Every way we know to make two servers disagree about where a request ends. Each is refused, the connection ends,
 * and what follows on it is never taken for a request.
 */
import { randomUUID } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import { request, testServed, type Served } from './served.ts'
import { smugglingCases } from './smuggling-cases.ts'

for (const { name, bytes, statuses } of smugglingCases) {
  testServed(`${name} is refused`, async (t, served) => {
    await refuses(t, served, { statuses, send: (client, key) => client.send(bytes + request(`GET /note/${key}`)) })
  })

  testServed(`${name} is refused when it arrives byte by byte`, async (t, served) => {
    await refuses(t, served, {
      statuses,
      send(client, key) {
        for (const byte of Buffer.from(bytes, 'latin1')) client.send(Uint8Array.of(byte))
        client.send(request(`GET /note/${key}`))
      },
    })
  })
}

interface Refusal {
  statuses: readonly number[]
  send(client: Awaited<ReturnType<Served['connect']>>, key: string): void
}

async function refuses(t: ExecutionContext, served: Served, { statuses, send }: Refusal): Promise<void> {
  const client = await served.connect(t)
  const key = randomUUID()
  send(client, key)
  const response = await client.response()
  t.true(statuses.includes(response.status), `got ${response.status}, wanted ${statuses.join(' or ')}`)
  t.is(response.headers.get('connection'), 'close')
  const { rest } = await client.ended()
  t.is(rest.toString('latin1'), '', 'a second answer')
  t.is(await served.get(t, `/log/${key}`), '[]', 'the smuggled request was carried out')
}
