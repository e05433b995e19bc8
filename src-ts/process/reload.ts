/** What a {@link prepareAll} is made of. `prepare` gives a worker that is ready but serves nothing yet. */
export interface Preparation<Seat, Prepared> {
  readonly prepare: (seat: Seat, signal: AbortSignal) => Promise<Prepared>
  readonly discard: (prepared: Prepared) => void
  /** How many start at the same time, after the first. */
  readonly concurrency: number
  /** Aborting gives everything up. */
  readonly signal: AbortSignal
}

/**
 * Prepares a new worker for every seat, or for none.
 *
 * The old workers go on serving until every new one is ready, so a reload that fails, at its first worker or at its last,
 * costs nothing and leaves the old code everywhere: what was prepared is discarded before it saw a request. Replacing seat
 * by seat would need less memory (one worker more instead of twice as many), but when a later worker fails, the old code of
 * the seats before it is gone (a file edited in place cannot be loaded again as it was), and the server would be left with
 * two versions. The first worker starts alone: code that does not start is found out at the price of one thread.
 */
export async function prepareAll<Seat, Prepared>(seats: readonly Seat[], preparation: Preparation<Seat, Prepared>): Promise<Prepared[]> {
  const { prepare, discard, concurrency } = preparation
  const giveUp = new AbortController()
  const signal = AbortSignal.any([giveUp.signal, preparation.signal])
  const prepared = new Map<Seat, Prepared>()
  const prepareNext = async (queue: Seat[]): Promise<void> => {
    for (let seat = queue.shift(); seat !== undefined; seat = queue.shift()) {
      signal.throwIfAborted()
      const one = await prepare(seat, signal)
      prepared.set(seat, one)
    }
  }
  try {
    const [canary, ...others] = seats
    if (canary === undefined) return []
    await prepareNext([canary])
    const lines = Array.from({ length: Math.min(concurrency, others.length) }, () => prepareNext(others))
    try {
      await Promise.all(lines)
    } catch (error) {
      giveUp.abort(error)
      // Those that were half-way end by the signal; none may be left behind when this function returns.
      await Promise.allSettled(lines)
      throw error
    }
    signal.throwIfAborted()
    return seats.map((seat) => prepared.get(seat) as Prepared)
  } catch (error) {
    for (const one of prepared.values()) discard(one)
    throw error
  }
}

/** Runs one job at a time. Calls that come while one runs are joined into a single run after it. */
export class JoinedRuns<Options, Result> {
  readonly #run: (options: Options) => Promise<Result>
  readonly #join: (earlier: Options, later: Options) => Options
  #current: Promise<unknown> | undefined
  #next: { options: Options; result: Promise<Result> } | undefined

  /** `join` makes the options of one run of those of two calls. @default the later ones */
  constructor(run: (options: Options) => Promise<Result>, join: (earlier: Options, later: Options) => Options = (_, later) => later) {
    this.#run = run
    this.#join = join
  }

  call(options: Options): Promise<Result> {
    if (this.#next !== undefined) {
      this.#next.options = this.#join(this.#next.options, options)
      return this.#next.result
    }
    if (this.#current === undefined) return this.#start(options)
    const next = { options, result: this.#current.then(() => this.#startNext()) }
    this.#next = next
    return next.result
  }

  #startNext(): Promise<Result> {
    const { options } = this.#next as { options: Options }
    this.#next = undefined
    return this.#start(options)
  }

  #start(options: Options): Promise<Result> {
    const result = this.#run(options)
    // The next run does not care how this one ended.
    const settled = result.then(
      () => undefined,
      () => undefined,
    )
    this.#current = settled
    void settled.then(() => {
      if (this.#current === settled) this.#current = undefined
    })
    return result
  }
}
