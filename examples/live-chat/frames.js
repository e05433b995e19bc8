export const rooms = ['lobby', 'terrace', 'pressbox']

/** What a page sent, checked: `say` with id and text, `typing`, or `enter` with a person. Undefined for anything else. */
export function readFrame(data) {
  const frame = parse(data)
  switch (frame?.type) {
    case 'say':
      return isText(frame.text, 500) && isText(frame.id, 64) && /^[\w-]+$/.test(frame.id) ? { type: 'say', id: frame.id, text: frame.text } : undefined
    case 'typing':
      return { type: 'typing' }
    case 'enter':
      return person(frame) && { type: 'enter', person: person(frame) }
    default:
      return undefined
  }
}

/** The name and room that somebody wants to have, or undefined when that cannot be. */
export function person({ name, room }) {
  return isText(name, 24) && rooms.includes(room) ? { name: name.trim(), room } : undefined
}

function isText(value, max) {
  return typeof value === 'string' && value.trim() !== '' && value.length <= max
}

function parse(data) {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}
