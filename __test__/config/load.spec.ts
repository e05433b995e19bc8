import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { configFileNames, findConfigFile, loadConfigFile } from '../../src-ts/config/load.ts'

const env = { command: 'start', env: 'prod', version: '1.2' } as const

function directory(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-config-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

function file(t: ExecutionContext, name: string, text: string): string {
  const path = join(directory(t), name)
  writeFileSync(path, text)
  return path
}

const loads = test.macro(async (t, name: string, text: string) => {
  t.like(await loadConfigFile(file(t, name, text), env), { workers: 3 })
})

test('loadConfigFile() loads .js', loads, 'sluice.config.mjs', 'export default { workers: 3 }')
test('loadConfigFile() loads .json', loads, 'sluice.config.json', '{ "workers": 3 }')
test('loadConfigFile() loads .ts', loads, 'sluice.config.ts', 'const workers: number = 3\nexport default { workers } satisfies object')
test('loadConfigFile() loads .mts', loads, 'sluice.config.mts', 'export default { workers: 3 as number }')
test('loadConfigFile() loads TypeScript that no Node runs by itself', loads, 'sluice.config.ts', 'enum N { three = 3 }\nexport default { workers: N.three }')
test('loadConfigFile() waits for a promise', loads, 'sluice.config.mjs', 'export default Promise.resolve({ workers: 3 })')

test('loadConfigFile() calls a function with command, env and version', async (t) => {
  const path = file(t, 'sluice.config.mjs', 'export default async (env) => ({ name: JSON.stringify(env) })')
  t.deepEqual(await loadConfigFile(path, env), { name: '{"command":"start","env":"prod","version":"1.2"}' })
})

const fails = test.macro(async (t, name: string, text: string, message: RegExp) => {
  await t.throwsAsync(loadConfigFile(file(t, name, text), env), { code: 'ERR_SLUICE_INVALID_CONFIG', message })
})

test('a syntax error names the file', fails, 'sluice.config.mjs', 'export default {', /^Cannot load .*sluice\.config\.mjs: Unexpected end of input/)
test('an error in the file names the file', fails, 'sluice.config.mjs', 'throw new Error("no database")', /^Cannot load .*sluice\.config\.mjs: no database$/)
test('an error in the function names the file', fails, 'sluice.config.mjs', 'export default () => { throw new Error("no") }', /sluice\.config\.mjs: no$/)
test('JSON that is none names the file', fails, 'sluice.config.json', '{', /^Cannot load .*sluice\.config\.json: /)
test('a file without a default export is refused', fails, 'sluice.config.mjs', 'export const a = 1', /must export a configuration object/)
test('a default export that is no object is refused', fails, 'sluice.config.json', 'null', /must export a configuration object/)

test('the error of the file is the cause', async (t) => {
  const error = await t.throwsAsync(loadConfigFile(file(t, 'sluice.config.mjs', 'throw new TypeError("x")'), env))
  t.true(error?.cause instanceof TypeError)
})

test('a file that does not exist is refused', async (t) => {
  const message = /^There is no configuration file .*absent\.js$/
  await t.throwsAsync(loadConfigFile(join(directory(t), 'absent.js'), env), { code: 'ERR_SLUICE_INVALID_CONFIG', message })
})

test('findConfigFile() takes the first name of the list', async (t) => {
  const path = directory(t)
  t.is(await findConfigFile(path), undefined)
  for (const name of [...configFileNames].toReversed()) {
    writeFileSync(join(path, name), '')
    t.is(await findConfigFile(path), join(path, name))
  }
})
