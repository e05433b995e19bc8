/** Command-line values the runners share. A wrong one ends the program with code 2 and says what was expected. */

/** Names separated by commas, `undefined` when the flag was not given. */
export function listOf(flag, text, allowed) {
  if (text === undefined) return undefined
  const names = text.split(',')
  const unknown = names.find((name) => !allowed.includes(name))
  if (unknown !== undefined) fail(`${flag}: unknown "${unknown}"; there are ${allowed.join(', ')}`)
  return names
}

export function wholeNumber(flag, text, max) {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > max) fail(`${flag} must be a whole number from 1 to ${max}`)
  return value
}

export function fail(message) {
  console.error(message)
  process.exit(2)
}
