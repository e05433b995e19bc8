/** LMDB, a map of the whole machine in a file, without waiting for a disk: in memory, without fsync. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { open as openDatabase } from 'lmdb'

export function open() {
  const folder = mkdtempSync('/dev/shm/sluice-bench-')
  const path = join(folder, 'data')
  const database = openDatabase({ path, noSync: true, noMemInit: true, mapSize: 4 * 2 ** 30 })
  return {
    setRow: (key, row) => database.putSync(key, row),
    getRow: (key) => database.get(key),
    getColumn: (key) => database.get(key).id,
    setColumn: (key, value) => database.transactionSync(() => database.putSync(key, { ...database.get(key), id: value })),
    incr: (key) => database.transactionSync(() => {
      const row = database.get(key)
      row.id++
      database.putSync(key, row)
    }),
    /** One transaction for many rows. */
    fill: (rows) => database.transactionSync(() => { for (const [key, row] of rows) database.putSync(key, row) }),
    memory: () => statSync(join(path, 'data.mdb')).blocks * 512,
    async close() {
      await database.close()
      rmSync(folder, { recursive: true })
    }
  }
}
