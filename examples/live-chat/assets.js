import { readFileSync } from 'node:fs'

/** The page needs nothing from elsewhere, and may do nothing else than it does. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const assets = new Map([
  ['/', load('index.html', 'text/html;charset=UTF-8')],
  ['/chat.css', load('chat.css', 'text/css;charset=UTF-8')],
  ['/chat.js', load('chat.js', 'text/javascript;charset=UTF-8')],
  ['/messages.js', load('messages.js', 'text/javascript;charset=UTF-8')],
  ['/icon.svg', load('icon.svg', 'image/svg+xml')],
])

/** The file of the page at a path, or undefined. Read once for each worker; a reload reads them anew. */
export function asset(path) {
  const found = assets.get(path)
  return found && new Response(found.body, { headers: found.headers })
}

function load(name, type) {
  return {
    body: readFileSync(new URL(`page/${name}`, import.meta.url)),
    headers: { 'content-type': type, 'content-security-policy': policy, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-cache' },
  }
}
