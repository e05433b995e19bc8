/**
 * One table as the addon gives it to a thread. Calls give the value or true/false, `undefined` where there is no row, and `null`
 * when they failed: {@link NativeTable.failure} tells why. Their arguments were checked.
 */
export interface NativeTable {
  /** Of each column, the bytes before it in a row image. */
  readonly offsets: readonly number[]
  /** Bytes of a row image. */
  readonly rowBytes: number
  readonly capacity: number
  /** Two row images: the row that is read or written, and the one that is expected. Never reaches user code. */
  readonly scratch: ArrayBuffer

  /** What the calls for a column of one word take and give: see `words.ts`. Never reaches user code. */
  readonly words: ArrayBuffer

  getWord(key: string): void
  setWord(key: string): void
  addWord(key: string): void
  /** A column of text or bytes. */
  getBytes(key: string, column: number): string | Buffer | undefined | null
  /** The row into the first image. False: there is none. A string: the texts of the row, one after the other. */
  readRow(key: string): boolean | string | null
  takeRow(key: string): boolean | string | null
  /** `ttl`: milliseconds, 0 never, left out as the table says. */
  setBytes(key: string, column: number, value: unknown, ttl?: number): boolean | null
  /** The columns of the first image that the mask names. */
  setRow(key: string, mode: number, low: number, high: number, ttl?: number): boolean | null
  compareSet(key: string, expectedLow: number, expectedHigh: number, low: number, high: number): boolean | null
  compareDelete(key: string, expectedLow: number, expectedHigh: number): boolean | null
  delete(key: string): boolean | null
  has(key: string): boolean | null
  /** Fills `batch` and gives where to go on; the capacity is the end. The form of a batch: see `batch.ts`. */
  scan(batch: Uint8Array, from: number, prefix: string, withRows: boolean): number | null
  clear(): boolean | null
  size(): number
  memory(): number
  /** JSON of `TableStats`. */
  stats(): string
  /** JSON of `{ code, message }`. */
  failure(): string
  /** A ticket, to which mail comes when {@link watchTake} has something after it had nothing; 0: too many, or no mailbox. */
  watch(prefix: string): number | null
  /** JSON of `[kind, key]` or `["missed", count]` each. */
  watchTake(ticket: number): string | null
  watchEnd(ticket: number): boolean | null
}

/** The calls about tables that are bound to none. */
export interface NativeTables {
  /** The table of that name, made if there is none. `spec` is JSON. @throws ERR_SLUICE_TABLE_MISMATCH, ERR_SLUICE_TABLE_FILE */
  openTable(name: string, spec: string, persist?: string, persistEvery?: number): NativeTable
  /** A table in a file that another process has made. */
  attachTable(path: string): NativeTable
  /** JSON of `{ name, spec }` of such a table. */
  describeTable(path: string): string
  /** Writes the snapshots that are due. Gives how many failed. */
  writeSnapshots(): number
  /** A ticket, to which mail comes when {@link takeSnapshotReports} has something. */
  watchSnapshots(): number
  /** JSON of `[{ table, code, message }]`; `code: null`: it is well again. */
  takeSnapshotReports(): string
  /** From now on tables of this process are files in `directory`, which exists. */
  useTablesDirectory(directory: string): void
  /** Removes the files of the tables and forgets them. */
  releaseTablesDirectory(): void
}
