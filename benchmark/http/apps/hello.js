/**
 * The fetch-style application that Sluice, Bun and Deno run unchanged.
 * Every other peer serves the same five routes in its own idiom.
 */
const text = { headers: { 'content-type': 'text/plain;charset=UTF-8' } }
const bytes = { headers: { 'content-type': 'application/octet-stream' } }

async function later() {
  await null
  return new Response('Hello, world!', text)
}

async function echo(req) {
  return new Response(await req.arrayBuffer(), bytes)
}

function twoHeaders(req) {
  const ok = req.headers.get('authorization') !== null && req.headers.get('x-request-id') !== null
  return ok ? new Response('Hello, world!', text) : new Response('', { status: 400 })
}

export default {
  fetch(req) {
    const url = req.url
    switch (url.slice(url.indexOf('/', 8))) {
      case '/':
        return new Response('Hello, world!', text)
      case '/json':
        return Response.json({ message: 'Hello, world!' })
      case '/async':
        return later()
      case '/headers':
        return twoHeaders(req)
      case '/echo':
        return echo(req)
      default:
        return new Response('', { status: 404 })
    }
  }
}
