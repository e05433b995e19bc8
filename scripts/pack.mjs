/**
 * Packs what npm would publish: the root package and the package of a platform, as tarballs.
 *
 *     node scripts/pack.mjs [folder]     both tarballs of this machine's platform; default folder: target/pack
 *
 * The release itself uses `napi artifacts` and `napi pre-publish`, which also write `optionalDependencies`
 * into package.json. They are not committed: a clone's `npm ci` must not look for packages that its own
 * version has yet to publish.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Packs the root package from what is in the clone; dist/ must have been built.
 *
 * @param {string} folder where the tarball goes
 * @returns {string} its path
 */
export function packRoot(folder) {
  if (!statSync(join(root, 'dist/cli.js'), { throwIfNoEntry: false })) throw new Error('dist/ is not built, run: npm run build:ts')
  return pack(root, folder)
}

/**
 * Packs a platform's package with the addon that lies in the root. It is put together in a folder of its own,
 * so that packing twice at once cannot mix two builds.
 *
 * @param {string} platform a folder of npm/, such as `linux-x64-gnu`
 * @param {string} folder where the tarball goes
 * @returns {string} its path
 */
export function packPlatform(platform, folder) {
  const addon = join(root, `sluice.${platform}.node`)
  if (!statSync(addon, { throwIfNoEntry: false })) throw new Error(`sluice.${platform}.node is not built, run: npm run build:native`)
  const staging = mkdtempSync(join(tmpdir(), 'sluice-pack-'))
  try {
    cpSync(join(root, 'npm', platform), staging, { recursive: true })
    for (const file of [addon, join(root, 'LICENSE'), join(root, 'THIRD-PARTY-LICENSES')]) {
      copyFileSync(file, join(staging, file.slice(root.length)))
    }
    return pack(staging, folder)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

/** The folder of npm/ that fits this machine; undefined when no package is built for it. */
export function hostPlatform() {
  const isMusl = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined
  const abi = { linux: isMusl ? '-musl' : '-gnu', win32: '-msvc' }[process.platform] ?? ''
  const platform = `${process.platform}-${process.arch}${abi}`
  return readdirSync(join(root, 'npm')).find((name) => name === platform)
}

function pack(source, folder) {
  mkdirSync(folder, { recursive: true })
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: source,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      shell: process.platform === 'win32',
    }),
  )
  return join(folder, filename)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = resolve(process.argv[2] ?? join(root, 'target', 'pack'))
  const platform = hostPlatform()
  if (platform === undefined) throw new Error(`There is no package for ${process.platform}-${process.arch} in npm/`)
  for (const tarball of [packRoot(folder), packPlatform(platform, folder)]) {
    console.log(`${tarball}  ${(statSync(tarball).size / 1024).toFixed(0)} KiB`)
  }
}
