import { readFileSync, readdirSync } from 'node:fs'
import test from 'ava'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly engines: { readonly node: string }
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
  readonly main?: string
  readonly files?: readonly string[]
  readonly scripts?: Record<string, string>
  readonly dependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
  readonly napi: { readonly targets: readonly string[] }
}

const folder = new URL('../../', import.meta.url)
const manifest = (name: string) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Manifest

/** Where a Rust target's package lies, and what npm must know to choose it. */
const platforms: Record<string, Pick<Manifest, 'os' | 'cpu' | 'libc'>> = {
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'win32-x64-msvc': { os: ['win32'], cpu: ['x64'] },
}

test('every target has a package, and no package is without a target', (t) => {
  const folders = readdirSync(new URL('npm/', folder)).filter((name) => !name.startsWith('.'))
  t.deepEqual(folders.sort(), Object.keys(platforms).sort())
  t.is(manifest('package.json').napi.targets.length, folders.length)
})

for (const [platform, { os, cpu, libc }] of Object.entries(platforms)) {
  test(`@sluice/binding-${platform} has the version, licence and engines of sluice and holds the addon and licences alone`, (t) => {
    const root = manifest('package.json')
    const own = manifest(`npm/${platform}/package.json`)
    t.is(own.name, `@sluice/binding-${platform}`)
    t.deepEqual([own.version, own.license, own.engines], [root.version, root.license, root.engines])
    t.deepEqual([own.os, own.cpu, own.libc], [os, cpu, libc])
    t.deepEqual([own.main, own.files], [`sluice.${platform}.node`, [`sluice.${platform}.node`, 'THIRD-PARTY-LICENSES']])
    t.deepEqual([own.scripts, own.dependencies], [undefined, undefined])
  })
}

test('sluice commits no optional dependency, which a clone could not install before they are published', (t) => {
  t.is(manifest('package.json').optionalDependencies, undefined)
})

test('sluice has no dependency at run time', (t) => {
  t.is(manifest('package.json').dependencies, undefined)
})
