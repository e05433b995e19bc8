// The `load` hook of ts-loader.mjs: types are removed by the compiler that also bundles the package.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { transform } from 'rolldown/utils'

export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !/\.m?ts$/.test(new URL(url).pathname) || url.includes('/node_modules/')) {
    return nextLoad(url, context)
  }
  const file = fileURLToPath(url)
  const { code, map, errors } = await transform(file, await readFile(file, 'utf8'), { lang: 'ts', sourcemap: true })
  if (errors.length > 0) throw errors[0]
  const mapUrl = `data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString('base64')}`
  return { format: 'module', source: `${code}\n//# sourceMappingURL=${mapUrl}`, shortCircuit: true }
}
