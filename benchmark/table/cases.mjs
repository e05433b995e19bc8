/** What is measured, on one thread: each case is a call on one of 10 000 rows of an integer, a double and a short string. */
export const rows = 10_000
export const columns = { id: 'int', score: 'float', name: 'string' }
export const keys = Array.from({ length: rows }, (_, index) => `user:${index}`)
export const rowOf = (index) => ({ id: index, score: index / 4, name: `visitor ${index}` })

export const cases = {
  'get one column': (peer) => (key) => peer.getColumn(key),
  'get a row of 3 columns': (peer) => (key) => peer.getRow(key),
  'set one column': (peer) => (key, index) => peer.setColumn(key, index),
  incr: (peer) => (key) => peer.incr(key)
}

/** 64 bytes of data: a length and 60 bytes. */
export const blockColumns = { block: 'block' }
export const blockRow = (index) => ({ block: Buffer.alloc(60, index) })
