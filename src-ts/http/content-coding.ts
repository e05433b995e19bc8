/** A content coding that answers can have. */
export type ContentCoding = 'br' | 'zstd' | 'gzip'

/** Every coding, in the order in which they are preferred where a client likes several as much: zstd costs a sixth of br for about the same length. */
export const contentCodings: readonly ContentCoding[] = ['zstd', 'br', 'gzip']

/** What the core is told about the coding of an answer: bits 5–7 of the template byte in `meta`. */
const CHOICE_SHIFT = 16 + 5
const IDENTITY = 1 << CHOICE_SHIFT
const CHOICES: Record<ContentCoding, number> = { gzip: 2 << CHOICE_SHIFT, br: 3 << CHOICE_SHIFT, zstd: 4 << CHOICE_SHIFT }

/** Different texts of `accept-encoding` that are remembered. Browsers send a handful; made-up ones are read anew each time. */
const KNOWN_MAX = 256

/** Chooses the coding of an answer by what its request accepts (RFC 9110 section 12.5.3). */
export class CodingChoice {
  readonly #codings: readonly ContentCoding[]
  readonly #known = new Map<string, number>()

  /** `codings`: those that may be used, the preferred first. */
  constructor(codings: readonly ContentCoding[]) {
    this.#codings = codings
  }

  /** What `meta` says of an answer to a request with this `accept-encoding`; null: the request has none, which asks for no coding. */
  of(accepted: string | null): number {
    if (accepted === null) return IDENTITY
    const known = this.#known.get(accepted)
    if (known !== undefined) return known
    const coding = preferredCoding(accepted, this.#codings)
    const choice = coding === undefined ? IDENTITY : CHOICES[coding]
    if (this.#known.size < KNOWN_MAX && accepted.length <= 256) this.#known.set(accepted, choice)
    return choice
  }
}

/** Whether `meta` names a coding. */
export function isCoded(meta: number): boolean {
  return (meta & (7 << CHOICE_SHIFT)) > IDENTITY
}

/** The coding that a client likes best; among equals the first of `codings`. Undefined: it wants the body as it is. */
export function preferredCoding(accepted: string, codings: readonly ContentCoding[]): ContentCoding | undefined {
  const weights = new Map<string, number>()
  for (const item of accepted.split(',')) {
    const [name = '', ...parameters] = item.split(';')
    const coding = name.trim().toLowerCase()
    if (coding !== '') weights.set(coding === 'x-gzip' ? 'gzip' : coding, weightOf(parameters))
  }
  const any = weights.get('*') ?? 0
  let best: ContentCoding | undefined
  // A client that prefers the body as it is says so with a weight of its own.
  let bestWeight = 0
  for (const coding of codings) {
    const weight = weights.get(coding) ?? any
    if (weight > bestWeight) {
      best = coding
      bestWeight = weight
    }
  }
  return (weights.get('identity') ?? 0) > bestWeight ? undefined : best
}

/** 0 to 1; one that is not written as the standard has it counts as 0: who cannot say what it takes gets nothing special. */
function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=')
    if (name.trim().toLowerCase() !== 'q') continue
    return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(value.trim()) ? Number(value) : 0
  }
  return 1
}
