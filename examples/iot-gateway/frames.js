/** What devices and people may send, checked: whatever else comes is `undefined`. */

const NAME = /^[\w-]{1,32}$/

/** A message to a device, with its length before it: the core takes frames apart, what is sent goes out as it is. */
export function frame(message) {
  const body = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(2)
  head.writeUInt16BE(body.length)
  return Buffer.concat([head, body])
}

/** A message of a device: `{ hello: NAME }`, or readings `{ NAME: number }`. */
export function readFrame(data) {
  const message = parse(Buffer.from(data).toString())
  if (typeof message !== 'object' || message === null) return undefined
  if ('hello' in message) return NAME.test(message.hello) ? { hello: String(message.hello) } : undefined
  const values = Object.entries(message).filter(([name, value]) => NAME.test(name) && Number.isFinite(value))
  return values.length > 0 ? { values: Object.fromEntries(values.slice(0, 16)) } : undefined
}

/** A packet: readings `temperature=21.5 humidity=40`, or any text. */
export function readTelemetry(data) {
  const text = Buffer.from(data.subarray(0, 512)).toString().trim()
  const values = [...text.matchAll(/([\w-]{1,32})=(-?\d+(?:\.\d+)?)(?=\s|$)/g)].map(([, name, value]) => [name, Number(value)])
  return values.length > 0 ? { values: Object.fromEntries(values.slice(0, 16)) } : { text }
}

/** A line of a person: `devices`, `quit`, `send DEVICE JSON`. */
export function readCommand(line) {
  const [, verb, device, json] = /^(devices|quit|send)(?: ([\w-]{1,32}) (.+))?$/.exec(line) ?? []
  const command = json === undefined ? undefined : parse(json)
  return { verb, device, command: typeof command === 'object' && command !== null ? command : undefined }
}

function parse(json) {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
