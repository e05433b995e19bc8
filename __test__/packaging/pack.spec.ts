import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { hostPlatform, packPlatform, packRoot } from '../../scripts/pack.mjs'
import { EmptyFolder, root } from './empty-folder.ts'

const KIB = 1024
const out = mkdtempSync(join(tmpdir(), 'sluice-tarballs-'))
const platform = hostPlatform()
let rootTarball = ''
let platformTarball = ''

test.before((t) => {
  if (platform === undefined) return t.fail(`No package is built for ${process.platform}-${process.arch}`)
  rootTarball = packRoot(out)
  platformTarball = packPlatform(platform, out)
})
test.after.always(() => rmSync(out, { recursive: true, force: true }))

test('the tarballs keep to their budget: 400 KiB for sluice, 4 MiB for a platform', (t) => {
  const rootSize = statSync(rootTarball).size
  const platformSize = statSync(platformTarball).size
  t.true(rootSize <= 400 * KIB, `sluice: ${rootSize} bytes`)
  t.true(platformSize <= 4096 * KIB, `${platform}: ${platformSize} bytes`)
})

test.serial('both tarballs install without a registry, Rust or scripts, and the hello example runs there', async (t) => {
  const folder = new EmptyFolder(t)
  const install = await folder.npm('install', rootTarball, platformTarball)
  t.is(install.code, 0, install.stderr)
  for (const name of installedPackages(folder)) {
    const { scripts = {} } = JSON.parse(readFileSync(folder.file(`node_modules/${name}/package.json`), 'utf8')) as { scripts?: Record<string, string> }
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) t.false(script in scripts, `${name} has a ${script} script`)
  }
  t.deepEqual(installedPackages(folder).sort(), ['sluice', `@sluice/binding-${platform}`].sort())
  for (const name of ['LICENSE', 'THIRD-PARTY-LICENSES']) {
    t.true(statSync(folder.file(`node_modules/sluice/${name}`)).isFile())
    t.true(statSync(folder.file(`node_modules/@sluice/binding-${platform}/${name}`)).isFile())
  }

  folder.copy('examples/hello', '.')
  const server = folder.npx('sluice', 'start', '--port', '0')
  const [, url = ''] = await server.said(/http +(http:\S+)\//)
  await server.said(/stop: /)
  t.regex(await (await fetch(`${url}/`)).text(), /<title>Sluice<\/title>/)
  t.deepEqual(await (await fetch(`${url}/api/users/2`)).json(), { id: '2', name: 'Grace Hopper' })

  const reload = await folder.npx('sluice', 'reload').ended
  t.is(reload.code, 0, reload.stderr)
  t.is((await fetch(`${url}/`)).status, 200)

  const stop = await folder.npx('sluice', 'stop').ended
  t.is(stop.code, 0, stop.stderr)
  t.is((await server.ended).code, 0)
})

test.serial('the installed types accept the examples, and refuse a mistake', async (t) => {
  const folder = new EmptyFolder(t)
  t.is((await folder.npm('install', rootTarball, platformTarball)).code, 0)
  // What `npm install --save-dev typescript @types/node` would bring; the registry may not be asked.
  for (const name of ['@types', 'undici-types', 'typescript', '@typescript']) {
    symlinkSync(join(root, 'node_modules', name), folder.file(`node_modules/${name}`))
  }
  for (const name of ['inline', 'workers', 'counter']) folder.copy(`examples/embed/${name}.ts`, `${name}.ts`)
  folder.write('tsconfig.json', JSON.stringify({
    compilerOptions: { module: 'nodenext', target: 'es2023', lib: ['es2023', 'esnext.disposable'], types: ['node'], strict: true, exactOptionalPropertyTypes: true, noEmit: true },
    include: ['*.ts'],
  }))
  const check = () => folder.node('node_modules/typescript/bin/tsc', '-p', '.')
  const right = await check()
  t.is(right.code, 0, right.stdout)

  folder.write('mistake.ts', "import { defineApp } from 'sluice'\nexport default defineApp({ fetch: () => 'text' })\n")
  const wrong = await check()
  t.not(wrong.code, 0)
  t.regex(wrong.stdout, /mistake\.ts\(2,\d+\): error TS/)
})

test.serial('without the package of the platform, the error says which it is, why, and what to do', async (t) => {
  const folder = new EmptyFolder(t)
  t.is((await folder.npm('install', rootTarball)).code, 0)
  folder.write('serve.js', "import('sluice').then(({ serve }) => serve({ port: 0, fetch: () => new Response() })).catch(({ code, message }) => console.log(JSON.stringify({ code, message })))")
  const { stdout } = await folder.node('serve.js')
  const { code, message } = JSON.parse(stdout) as { code: string; message: string }
  t.is(code, 'ERR_SLUICE_NATIVE_LOAD')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  t.true(message.includes(`on ${platform}`), message)
  t.true(message.includes(`the package \`@sluice/binding-${platform}\` is not installed`), message)
  t.true(message.includes(`npm install @sluice/binding-${platform}@${version}`), message)

  folder.copy('examples/hello/app.js', 'app.js')
  const start = await folder.npx('sluice', 'start', 'app.js', '--port', '0').ended
  t.is(start.code, 1)
  t.true(start.stderr.includes('ERR_SLUICE_NATIVE_LOAD'), start.stderr)
})

function installedPackages(folder: EmptyFolder): string[] {
  const names = readdirSync(folder.file('node_modules')).filter((name) => !name.startsWith('.'))
  return names.flatMap((name) => (name.startsWith('@') ? readdirSync(folder.file(`node_modules/${name}`)).map((inner) => `${name}/${inner}`) : [name]))
}
