/** C programs, compiled for the run into a directory of its own that is removed when the runner ends. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const directory = mkdtempSync(join(tmpdir(), 'sluice-udp-'))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))

/** The command of a source file, or why there is none. */
export function compiled(source) {
  const output = join(directory, basename(source, '.c'))
  try {
    execFileSync('gcc', ['-O2', '-Wall', '-o', output, source], { stdio: 'pipe' })
    return { command: [output] }
  } catch (error) {
    return { command: [output], missing: `${basename(source)} cannot be compiled: ${error.message.split('\n')[0]}` }
  }
}
