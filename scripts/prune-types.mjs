// Removes the type declarations that nobody can reach from `sluice`: those of the command, the master and other insides would be a third of all.
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname ?? '.', '../dist/types')
const reached = new Set()

function reach(file) {
  if (reached.has(file)) return
  reached.add(file)
  for (const [, target] of readFileSync(file, 'utf8').matchAll(/(?:from |import\()\s*['"](\.[^'"]+)['"]/g)) reach(resolve(dirname(file), target.replace(/\.[tj]s$/, '.d.ts')))
}

reach(join(root, 'index.d.ts'))
for (const name of readdirSync(root, { recursive: true })) {
  const file = join(root, name)
  if (name.endsWith('.d.ts') && !reached.has(file)) rmSync(file)
}
