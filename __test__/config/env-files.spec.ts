import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadEnvFiles } from '../../src-ts/config/env-files.ts'

function directoryWith(t: ExecutionContext, files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-env-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

test('what is set outside wins over .env.<env>, and that over .env', (t) => {
  const environment: Record<string, string | undefined> = { A: 'outside' }
  loadEnvFiles(directoryWith(t, { '.env': 'A=1\nB=1\nC=1\n', '.env.prod': 'A=2\nB=2\nD="x y" # note\n' }), 'prod', environment)
  t.deepEqual(environment, { A: 'outside', B: '2', C: '1', D: 'x y' })
})

test('an empty variable outside is set', (t) => {
  const environment: Record<string, string | undefined> = { A: '' }
  loadEnvFiles(directoryWith(t, { '.env': 'A=1' }), 'prod', environment)
  t.deepEqual(environment, { A: '' })
})

test('files that do not exist are skipped', (t) => {
  const environment = {}
  t.notThrows(() => loadEnvFiles(directoryWith(t, {}), 'prod', environment))
  t.deepEqual(environment, {})
})

test('a file that cannot be read is an error', (t) => {
  const directory = directoryWith(t, {})
  mkdirSync(join(directory, '.env'))
  t.throws(() => loadEnvFiles(directory, 'prod', {}), { code: 'ERR_SLUICE_INVALID_CONFIG' })
})
