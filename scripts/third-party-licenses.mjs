/**
 * Writes THIRD-PARTY-LICENSES: the licence text of everything that is in what we publish. That is the crates
 * linked into the addon, for every platform we build, and the npm packages bundled into dist/.
 *
 *     node scripts/third-party-licenses.mjs            writes the file
 *     node scripts/third-party-licenses.mjs --check    fails if the file is not what it would write
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const file = join(root, 'THIRD-PARTY-LICENSES')

/** Bundled by rolldown.config.mjs; everything else in package.json is a tool. */
const bundled = ['commander', 'valibot', 'ws']

const text = render([...crates(), ...bundled.map(npmPackage)])
if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('THIRD-PARTY-LICENSES does not match Cargo.lock and package-lock.json. Write it anew with: npm run licenses')
  process.exitCode = 1
}

/** The crates that sluice-napi links, found over normal dependencies only: build and test tools do not ship. */
function crates() {
  const { targets } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).napi
  const metadata = JSON.parse(
    execFileSync('cargo', ['metadata', '--format-version', '1', '--locked', ...targets.flatMap((target) => ['--filter-platform', target])], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  )
  const packages = new Map(metadata.packages.map((item) => [item.id, item]))
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]))
  const reached = new Set()
  const queue = metadata.packages.filter(({ name, source }) => name === 'sluice-napi' && source === null).map(({ id }) => id)
  for (const id of queue) {
    if (reached.has(id)) continue
    reached.add(id)
    for (const { pkg, dep_kinds: kinds } of nodes.get(id)?.deps ?? []) {
      const isMacro = packages.get(pkg)?.targets.some(({ kind }) => kind.includes('proc-macro'))
      if (!isMacro && kinds.some(({ kind }) => kind === null)) queue.push(pkg)
    }
  }
  return [...reached]
    .map((id) => packages.get(id))
    .filter(({ source }) => source !== null)
    .map(({ name, version, license, manifest_path: manifest }) => entry(name, version, license, dirname(manifest)))
}

function npmPackage(name) {
  const folder = join(root, 'node_modules', name)
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return entry(name, version, license, folder)
}

/** One package with its licence text. Of several licences to choose from we take MIT, ours, where it is one of them. */
function entry(name, version, license, folder) {
  const texts = readdirSync(folder).filter((item) => /^(licen[cs]e|copying|unlicense)([-._].*)?$/i.test(item)).sort()
  const chosen = texts.find((item) => /mit/i.test(item)) ?? texts[0]
  const body = chosen === undefined ? `(The package names its licence, ${license}, and ships no text of it.)` : readFileSync(join(folder, chosen), 'utf8')
  return { name, version, license, body: body.replaceAll('\r\n', '\n').trim() }
}

function render(entries) {
  const sorted = entries.toSorted((a, b) => (a.name === b.name ? compare(a.version, b.version) : compare(a.name, b.name)))
  const head = 'Sluice is published with parts of the following packages in it, each under its own licence.'
  return `${[head, ...sorted.map(({ name, version, license, body }) => `${name} ${version} (${license})\n\n${body}`)].join(`\n\n${'='.repeat(80)}\n\n`)}\n`
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0
}
