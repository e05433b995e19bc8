import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test from 'ava'

import { isElsewhere, lookUp } from '../../src-ts/process/generation.ts'

test('a symbolic link in `root` is followed anew at every look', async (t) => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'sluice-generation-')))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const release of ['1', '2']) {
    await mkdir(join(folder, release))
    await writeFile(join(folder, release, 'app.js'), '')
  }
  const current = join(folder, 'current')
  await symlink(join(folder, '1'), current)
  const first = lookUp({ root: current, app: 'app.js' }, 1, undefined)
  await symlink(join(folder, '2'), join(folder, 'next'))
  await rename(join(folder, 'next'), current)
  const second = lookUp({ root: current, app: pathToFileURL(join(current, 'app.js')) }, 2, 'v2')
  t.is(first.app, pathToFileURL(join(folder, '1', 'app.js')).href)
  t.is(second.app, pathToFileURL(join(folder, '2', 'app.js')).href)
  t.true(isElsewhere(first, second))
  t.false(isElsewhere(second, lookUp({ root: folder, app: '2/app.js' }, 3, 'v3')))
})

test('an application that does not exist is named', (t) => {
  t.throws(() => lookUp({ root: '/nowhere', app: 'app.js' }, 1, undefined), { code: 'ERR_SLUICE_WORKER_START', message: /\/nowhere\/app\.js/ })
})
