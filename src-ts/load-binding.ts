import { createRequire } from 'node:module'
import { sluiceError } from './errors.ts'
import { sluiceVersion } from './version.ts'

/** The platforms a package is published for, as in `napi.targets` of package.json. */
const platforms = ['linux-x64-gnu', 'linux-x64-musl', 'linux-arm64-gnu', 'linux-arm64-musl', 'darwin-x64', 'darwin-arm64', 'win32-x64-msvc']

/**
 * Loads the addon through the generated loader, `index.js`, which tries a build in the package's own folder and
 * then the package of this platform.
 *
 * It is required and not imported, because a static import cannot be caught and a dynamic one would make
 * `require('sluice')` impossible.
 *
 * @throws ERR_SLUICE_NATIVE_LOAD naming the platform, the reason and what to do; the loader's error is the `cause`
 */
export function loadBinding(): unknown {
  try {
    return createRequire(import.meta.url)('../index.js')
  } catch (cause) {
    throw sluiceError('ERR_SLUICE_NATIVE_LOAD', explainLoadError(cause, platformName()), { cause })
  }
}

/** What is in the way on this platform, and what to do about it. */
export function explainLoadError(error: unknown, platform: string): string {
  const name = `@sluice/binding-${platform}`
  const subject = `The native part of Sluice cannot be loaded on ${platform}`
  if (!platforms.includes(platform)) {
    return `${subject}: no package is built for this platform. Use one of ${platforms.join(', ')}, or build Sluice from source with Rust: \`npm run build\` in a clone`
  }
  const broken = causes(error).find((message) => message !== '' && !/^Cannot find (module|package|native binding)/.test(message))
  if (broken !== undefined) {
    return `${subject}: ${broken.split('\n', 1)[0]}. Reinstall it with \`npm install --force ${name}@${sluiceVersion}\`; a C library older than the package needs means building Sluice from source`
  }
  return (
    `${subject}: the package \`${name}\` is not installed. Install it with \`npm install ${name}@${sluiceVersion}\`. ` +
    'It is left out by `--omit=optional`, and by a lockfile or a node_modules folder made on another platform; in a clone, run `npm run build:native`'
  )
}

/** The messages of an error and of everything below it, outermost first; the loader chains one per place it tried. */
function causes(error: unknown): string[] {
  const messages: string[] = []
  for (let current = error; current instanceof Error && messages.length < 32; current = current.cause) messages.push(current.message)
  return messages
}

/** The platform as the packages are named after it. */
function platformName(): string {
  const { platform, arch } = process
  if (platform === 'win32') return `${platform}-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return `${platform}-${arch}-${header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`
}
