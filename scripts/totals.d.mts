/** One run of one runner. Feed it every line, then settle the counts. */
export declare class Totals {
  constructor(runner: 'cargo' | 'tap' | 'check')
  readonly passed: number
  readonly failed: number
  line(text: string): void
  end(ok: boolean): { passed: number; failed: number }
}
