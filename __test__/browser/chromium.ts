import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'

/** Debian's Chromium without a window. @throws when there is none: a promise nobody has looked at is not kept. */
export async function launchChromium(): Promise<Browser> {
  // The sandbox needs a user of its own; as root Chromium refuses to start with it.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
  return await chromium.launch({ executablePath: findChromium(), args })
}

function findChromium(): string {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''), '/usr/bin']
  const found = folders.map((folder) => join(folder, 'chromium')).find(isExecutable)
  if (found === undefined) throw new Error('There is no `chromium` on the PATH, and the tests of pages need one. On Debian and Ubuntu: apt-get install chromium')
  return found
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
