import { SluiceResponse } from './response.ts'

/** Of the answers we give ourselves. Node's table would load all of `node:http`. */
const titles: Readonly<Record<number, string>> = { 400: 'Bad Request', 404: 'Not Found', 413: 'Payload Too Large', 415: 'Unsupported Media Type', 500: 'Internal Server Error' }

/**
 * The answer when there is no other, as JSON, HTML or plain text by what the client accepts. It names the
 * request id, by which the log has the cause, and never the cause itself.
 */
export function failureResponse(status: number, accept: string | null, id: string): SluiceResponse {
  const title = titles[status] ?? 'Error'
  const headers: Record<string, string> = { 'cache-control': 'no-store' }
  // An unread body would have to be read to its end to keep the connection; whoever sends too much shall not be waited for.
  if (status === 413) headers['connection'] = 'close'
  const type = preferred(accept ?? '')
  if (type === 'application/json') {
    return SluiceResponse.json({ error: { status, message: title, requestId: id } }, { status, headers })
  }
  if (type === 'text/html') {
    const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>${status} ${title}</title><h1>${title}</h1><p>Request <code>${id}</code></p></html>\n`
    return new SluiceResponse(page, { status, headers: { ...headers, 'content-type': 'text/html;charset=UTF-8' } })
  }
  return new SluiceResponse(`${title}\nRequest ${id}\n`, { status, headers })
}

/** The first of JSON and HTML that the client lists without refusing it (`q=0`); else plain text. */
function preferred(accept: string): string {
  for (const range of accept.toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim())
    if (parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))) continue
    if (type === 'text/html' || type === 'application/xhtml+xml') return 'text/html'
    if (type === 'application/json' || type.endsWith('+json')) return 'application/json'
    if (type === 'text/plain') break
  }
  return 'text/plain'
}
