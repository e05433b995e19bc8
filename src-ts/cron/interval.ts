const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `'500ms'`, `'5s'`, `'5m'`, `'1h'` and `'1d'` in milliseconds; undefined for any other text. */
export function parseInterval(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,12}) ?(ms|s|m|h|d)$/.exec(text) ?? []
  return amount === undefined ? undefined : Number(amount) * UNITS[unit as keyof typeof UNITS]
}

/** Whether it is a number of milliseconds that a schedule can have. */
export function isInterval(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1
}
