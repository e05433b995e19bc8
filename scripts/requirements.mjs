/**
 * What a machine must have before anything can be built, and what to do when it has not.
 * Imports nothing but Node's own modules: it runs before `npm ci`.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A requirement is missing. The message is the whole text for the user. */
export class RequirementError extends Error {
  name = 'RequirementError'
}

/** Throws {@link RequirementError} when this Node.js is not in `engines.node` of package.json. */
export function requireNode(root) {
  const range = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node
  if (satisfies(process.versions.node, range)) return
  throw new RequirementError(
    `Sluice needs Node.js ${range}, this is ${process.versions.node}.\n` +
      'Install a newer one from https://nodejs.org or with your version manager (nvm install 24, fnm install 24).',
  )
}

/** Throws {@link RequirementError} when Rust, in the version that Cargo.toml names, or the C linker it needs is missing. */
export function requireRust(root) {
  const wanted = /^rust-version\s*=\s*"([\d.]+)"/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1] ?? '1.88'
  const found = /^rustc (\d+\.\d+\.\d+)/.exec(output('rustc', '--version') ?? '')?.[1]
  if (!found || output('cargo', '--version') === undefined) {
    throw new RequirementError(
      `Building Sluice from source needs Rust ${wanted} or newer, and there is no working cargo on the PATH.\n` +
        "Install it with:  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y\n" +
        'then open a new shell, or run:  . "$HOME/.cargo/env"',
    )
  }
  if (compare(found, wanted) < 0) {
    throw new RequirementError(`Building Sluice needs Rust ${wanted} or newer, this is ${found}.\nUpdate it with:  rustup update stable`)
  }
  if (process.platform !== 'win32' && output('cc', '--version') === undefined) {
    throw new RequirementError(
      'Rust needs a C linker, and there is no cc on the PATH.\n' +
        (process.platform === 'darwin'
          ? 'Install it with:  xcode-select --install'
          : 'Install it on Debian or Ubuntu with:  sudo apt-get install -y build-essential'),
    )
  }
}

/** Whether a version fits a range made of `^x.y.z` and `>=x` joined by `||`, the only forms our `engines` uses. */
export function satisfies(version, range) {
  return range.split('||').some((part) => {
    const [, operator, wanted] = /^\s*(\^|>=)(\d+(?:\.\d+){0,2})\s*$/.exec(part) ?? []
    if (!wanted) throw new TypeError(`engines.node holds ${JSON.stringify(part)}, expected ^x.y.z or >=x`)
    if (operator === '^' && major(version) !== major(wanted)) return false
    return compare(version, wanted) >= 0
  })
}

function compare(a, b) {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number))
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function major(version) {
  return version.split('.', 1)[0]
}

function output(program, ...args) {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 })
  return status === 0 ? stdout : undefined
}
