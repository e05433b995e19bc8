/** Whether a stream gets colours: `FORCE_COLOR` (not 0) says yes, else `NO_COLOR` says no, else a terminal does. */
export function hasColour(stream: { isTTY?: boolean }, environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  if (environment['FORCE_COLOR'] !== undefined) return environment['FORCE_COLOR'] !== '0'
  if (environment['NO_COLOR']) return false
  return stream.isTTY === true
}

/** Puts text in a style, or leaves it as it is. */
export type Paint = (style: keyof typeof styles, text: string) => string

const styles = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33', cyan: '36' } as const

export function painter(isColoured: boolean): Paint {
  return (style, text) => (isColoured ? `\x1b[${styles[style]}m${text}\x1b[0m` : text)
}
