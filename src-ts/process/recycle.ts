/** When a worker is replaced although nothing is wrong with it. 0 or absent = never. */
export interface RecycleRule {
  /** Requests served. */
  readonly requests?: number | undefined
  /** Spread of `requests`: 1..grace are added by lot. @default half of `requests` when that is over 10, else 0 */
  readonly grace?: number | undefined
  /** Used JavaScript heap, in MiB. */
  readonly heapMb?: number | undefined
  /** Time served, in milliseconds. */
  readonly age?: number | undefined
}

/** What a worker has used up so far. */
export interface Usage {
  readonly requests: number
  readonly heapBytes: number
  readonly ageMs: number
}

/** `age` is stretched by up to this part of itself, so that workers started together do not go together. */
const AGE_JITTER = 0.1

/**
 * The life span of one worker, drawn when it starts. Requests and age get a random extra (Swoole's `max_request_grace`);
 * heap needs none, it is different in every worker anyway.
 */
export class LifeSpan {
  readonly #requests: number
  readonly #heapBytes: number
  readonly #ageMs: number

  /** `random` gives numbers in [0, 1). */
  constructor(rule: RecycleRule, random: () => number = Math.random) {
    this.#requests = rule.requests ? rule.requests + extra(rule, random) : Infinity
    this.#heapBytes = rule.heapMb ? rule.heapMb * 1024 * 1024 : Infinity
    this.#ageMs = rule.age ? rule.age * (1 + AGE_JITTER * random()) : Infinity
  }

  /** False when nothing can end this life: then nobody needs to look. */
  get isLimited(): boolean {
    return this.#requests !== Infinity || this.#heapBytes !== Infinity || this.#ageMs !== Infinity
  }

  isOver(usage: Usage): boolean {
    return usage.requests >= this.#requests || usage.heapBytes >= this.#heapBytes || usage.ageMs >= this.#ageMs
  }
}

function extra({ requests = 0, grace = requests > 10 ? Math.floor(requests / 2) : 0 }: RecycleRule, random: () => number): number {
  return grace > 0 ? 1 + Math.floor(random() * grace) : 0
}
