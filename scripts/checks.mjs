/**
 * Every check of `npm test`, in the order that shows a mistake soonest.
 */
import { delimiter, dirname, join } from 'node:path'

import { nodeBinary, nodeLines } from './node-versions.mjs'
import { root } from './setup.mjs'

const bin = (path) => join(root, 'node_modules', path)

/**
 * @typedef {object} Check
 * @property {'rust' | 'lint' | 'ts' | 'ava'} group what `--only` selects
 * @property {string} name its row in the summary
 * @property {'cargo' | 'tap' | 'check'} totals who counts its tests
 * @property {() => [program: string, ...args: string[]] | Promise<[program: string, ...args: string[]]>} command
 * @property {(program: string) => Record<string, string>} [env] what the command adds to our environment
 * @property {readonly string[]} [ahead] what is added to the command to let it only compile, while setup links the native core, which one processor does alone
 */

/**
 * @param {{ avaFiles?: string[], node?: string }} selection `avaFiles` narrows the AVA runs, `node` ('current' or a line such as '22') chooses one of them.
 * @returns {Check[]}
 */
export function allChecks({ avaFiles = [], node } = {}) {
  return [
    { group: 'lint', name: 'cargo fmt', totals: 'check', command: () => ['cargo', 'fmt', '--check'] },
    { group: 'lint', name: 'oxlint', totals: 'check', command: () => [process.execPath, bin('oxlint/bin/oxlint'), '--deny-warnings'] },
    { group: 'ts', name: 'tsc', totals: 'check', command: () => [process.execPath, bin('typescript/bin/tsc'), '-p', 'tsconfig.json'] },
    { group: 'lint', name: 'third-party licences', totals: 'check', command: () => [process.execPath, 'scripts/third-party-licenses.mjs', '--check'] },
    { group: 'lint', name: 'cargo clippy', totals: 'check', command: () => ['cargo', 'clippy', '--workspace', '--all-targets', '--', '-D', 'warnings'], ahead: [] },
    { group: 'rust', name: 'cargo test', totals: 'cargo', command: () => ['cargo', 'test', '--workspace', '--no-fail-fast'], ahead: ['--no-run'] },
    ...['sluice-shared', 'sluice-core'].map(loomCheck),
    ...avaChecks(avaFiles, node),
  ]
}

/** Every interleaving of a crate's lock-free parts. */
function loomCheck(crate) {
  return {
    group: 'rust',
    name: `loom: ${crate}`,
    totals: 'cargo',
    command: () => ['cargo', 'test', '-p', crate, '--release', '--test', 'loom'],
    ahead: ['--no-run'],
    env: () => ({
      RUSTFLAGS: '--cfg loom',
      // Its own folder, or the flag would throw away the build of everything else, and no link-time
      // optimisation, which costs more here than the models take to run.
      CARGO_TARGET_DIR: join(root, 'target', 'loom'),
      CARGO_PROFILE_RELEASE_LTO: 'off',
      CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
    }),
  }
}

/**
 * Specs in which Node.js itself has no part, or none that differs by its line: protocols against the core, files, proxies, a browser, the package, texts,
 * programs from the command line, the schedule, the configuration, and the long loops around memory and sockets of the core.
 */
const ONCE = [
  'browser/**',
  'cli/**',
  'config/**',
  'conformance/**',
  'cron/**',
  'events/**',
  'examples/**',
  'http2/**',
  'packaging/**',
  'publish/**',
  'static/**',
  'tcp/**',
  'udp/**',
  'errors.spec.ts',
  'readme.spec.ts',
  'cron-page.spec.ts',
  'processes-page.spec.ts',
  'timer-page.spec.ts',
  'table/persist.spec.ts',
  'tasks/durable.spec.ts',
  'tasks/files.spec.ts',
  'tasks/page.spec.ts',
  'lifecycle/cron.spec.ts',
  'lifecycle/cron-kill-loop.spec.ts',
  'lifecycle/cycles.spec.ts',
  'lifecycle/detach.spec.ts',
  'lifecycle/listening.spec.ts',
  'lifecycle/ports.spec.ts',
  'lifecycle/processes-kill-loop.spec.ts',
  'lifecycle/proxies.spec.ts',
  'lifecycle/sockets.spec.ts',
  'lifecycle/sockets-kill-loop.spec.ts',
  'lifecycle/sockets-memory.spec.ts',
  'lifecycle/sockets-shutdown.spec.ts',
  'lifecycle/sse.spec.ts',
  'lifecycle/table-kill.spec.ts',
  'lifecycle/tasks-kill-loop.spec.ts',
  'lifecycle/tcp-kill-loop.spec.ts',
  'lifecycle/tls.spec.ts',
  'lifecycle/udp.spec.ts',
]

/** The suite on the Node.js that runs us, and, but for {@link ONCE}, on each other line we support that npm has a binary of. */
function avaChecks(files, node) {
  const current = process.versions.node.split('.', 1)[0]
  const ava = (program, chosen = files) => [program, bin('ava/entrypoints/cli.mjs'), '--tap', ...chosen]
  const others = files.length > 0 ? files : ['__test__/**/*.spec.ts', ...ONCE.map((pattern) => `!__test__/${pattern}`)]
  const lines = nodeLines().filter((line) => line !== current)
  const runs = [
    { id: 'current', name: `ava on Node ${current}`, command: () => ava(process.execPath) },
    ...lines.map((line) => ({ id: line, name: `ava on Node ${line}`, command: async () => ava(await nodeBinary(line), others) })),
  ].filter(({ id }) => node === undefined || id === node)
  if (runs.length === 0) throw new Error(`--node ${node}: expected ${['current', ...lines].join(', ')}`)
  return runs.map(({ name, command }) => ({ group: 'ava', name, totals: 'tap', command, env: nodeFirst }))
}

/** Programs that the suite starts by the name `node` are the Node.js that runs the suite. */
function nodeFirst(program) {
  return { PATH: `${dirname(program)}${delimiter}${process.env['PATH'] ?? ''}` }
}
