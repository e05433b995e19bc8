import test from 'ava'
import { explainLoadError } from '../src-ts/load-binding.ts'

/** As the generated loader throws: one cause below the other, one for each place it tried. */
const chain = (...messages: string[]) => messages.reduceRight<Error | undefined>((cause, message) => new Error(message, { cause }), undefined)

test('nothing was found: the package is not installed, and how to install it', (t) => {
  const message = explainLoadError(chain('Cannot find native binding. npm has a bug', "Cannot find module './sluice.linux-x64-gnu.node'\nRequire stack:"), 'linux-x64-gnu')
  t.regex(message, /on linux-x64-gnu: the package `@sluice\/binding-linux-x64-gnu` is not installed/)
  t.regex(message, /npm install @sluice\/binding-linux-x64-gnu@\d+\.\d+\.\d+/)
})

test('what was found cannot be loaded: the system says why, on one line', (t) => {
  const message = explainLoadError(chain('Cannot find native binding.', "Cannot find module 'x'", "version `GLIBC_2.38' not found\nmore"), 'linux-arm64-gnu')
  t.regex(message, /on linux-arm64-gnu: version `GLIBC_2\.38' not found\. /)
  t.false(message.includes('\n'))
})

test('a platform without a package is named, with those that have one', (t) => {
  t.regex(explainLoadError(chain('Cannot find native binding.'), 'freebsd-x64'), /on freebsd-x64: no package is built for this platform\. Use one of .*darwin-arm64/)
})

test('what is thrown without being an error does not break the explanation', (t) => {
  t.regex(explainLoadError('odd', 'darwin-x64'), /`@sluice\/binding-darwin-x64` is not installed/)
})
