/** What a reader needs to know to compare two runs. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

function commit() {
  try {
    const options = { cwd: fileURLToPath(new URL('.', import.meta.url)), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }
    const id = execFileSync('git', ['rev-parse', '--short', 'HEAD'], options).trim()
    return execFileSync('git', ['status', '--porcelain', '-uno'], options) === '' ? id : `${id} with changes`
  } catch {
    return 'unknown'
  }
}

export function describeMachine() {
  const cores = cpus()
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    commit: commit(),
    date: new Date().toISOString(),
    loadBefore: loadavg()[0]
  }
}
