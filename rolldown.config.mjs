// Bundles src-ts into dist/: three entries and the chunks they share, all directly in dist/, because
// `../index.js` (the addon's loader) and `./worker-main.js` are found relative to the file that asks.
import { defineConfig } from 'rolldown'
import { minifySync } from 'rolldown/utils'

/** `sluice` runs as a command from dist/cli.js. */
const shebang = ({ facadeModuleId }) => (facadeModuleId?.endsWith('/cli/main.ts') ? '#!/usr/bin/env node' : '')

export default defineConfig({
  input: {
    index: 'src-ts/index.ts',
    cli: 'src-ts/cli/main.ts',
    'worker-main': 'src-ts/process/worker-main.ts',
    'child-main': 'src-ts/process/custom/child-main.ts',
  },
  platform: 'node',
  // Node's own modules are external by the platform; valibot, commander and ws are bundled, ws in a chunk that the first
  // WebSocketClient loads. The last two are native helpers that ws asks for and does without.
  external: ['../index.js', 'jiti', 'bufferutil', 'utf-8-validate'],
  // The addon's loader stays `../index.js` from dist/ as it is from src-ts/.
  makeAbsoluteExternalsRelative: false,
  transform: { target: 'node20.19' },
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunk-[name]-[hash].js',
    // Types and old chunks would otherwise pile up beside the new ones.
    cleanDir: true,
    // What is documented stands in the types; twice it would be a fifth of the package.
    comments: { legal: true, annotation: true, jsdoc: false },
    banner: shebang,
    // The code of others has chunks of its own, which nobody reads: minified it is 5 KiB less of the package.
    codeSplitting: { groups: [{ debugName: 'foreign', name: (id) => /[\\/]node_modules[\\/](commander|ws|valibot)[\\/]/.exec(id)?.[1] ?? null }] },
  },
  plugins: [
    {
      name: 'minify-foreign-code',
      renderChunk(code, chunk) {
        if (chunk.moduleIds.length === 0 || !chunk.moduleIds.every((id) => id.includes('node_modules') || id.startsWith('\0'))) return null
        return minifySync(chunk.fileName, code, { module: true, compress: true, mangle: true }).code
      },
    },
  ],
})
