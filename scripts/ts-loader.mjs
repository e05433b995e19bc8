// Lets the test runner import TypeScript on every Node.js we support: `node --import=./scripts/ts-loader.mjs`.
// Where Node strips types itself (22.18 and later, 24) there is nothing to do.
import { register } from 'node:module'

if (!process.features.typescript) register('./ts-loader-hooks.mjs', import.meta.url)
