/** The files that every peer serves: random bytes, in a folder that goes with the runner. */
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const sizes = { '4k.bin': 4096, '64k.bin': 65_536, '1m.bin': 1_048_576 }

/** @returns {string} the folder */
export function makeFiles() {
  const root = mkdtempSync(join(tmpdir(), 'sluice-static-'))
  process.once('exit', () => rmSync(root, { recursive: true, force: true }))
  // Not only for us: nginx may run as somebody else.
  chmodSync(root, 0o755)
  for (const [name, size] of Object.entries(sizes)) writeFileSync(join(root, name), randomBytes(size))
  return root
}
