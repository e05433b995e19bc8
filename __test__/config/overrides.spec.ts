import { resolve } from 'node:path'
import test from 'ava'
import { applyOverrides, environmentOverrides } from '../../src-ts/config/overrides.ts'
import { parseConfig } from '../../src-ts/options.ts'

test('environmentOverrides() prefers the SLUICE_ variable', (t) => {
  t.deepEqual(environmentOverrides({ PORT: '1', SLUICE_PORT: '2', HOST: 'a' }), { port: 2, host: 'a' })
  t.deepEqual(environmentOverrides({ PORT: '1', SLUICE_PORT: '' }), { port: 1 })
})

test('environmentOverrides() reads numbers, words and paths', (t) => {
  t.deepEqual(environmentOverrides({ SLUICE_WORKERS: '3', SLUICE_STATE_DIR: 'run', SLUICE_LOG_LEVEL: 'warn' }), {
    workers: 3,
    stateDir: resolve('run'),
    'log.level': 'warn',
  })
  t.deepEqual(environmentOverrides({ SLUICE_WORKERS: 'max' }), { workers: 'max' })
})

test('environmentOverrides() names the variable that is not a number', (t) => {
  for (const text of ['x', '-1', '1.5', '0x10', '1e3', ' 1']) {
    t.throws(() => environmentOverrides({ SLUICE_WORKERS: text }), {
      code: 'ERR_SLUICE_INVALID_OPTION',
      message: `SLUICE_WORKERS must be a whole number or "auto" or "max", got ${JSON.stringify(text)}`,
    })
  }
})

test('applyOverrides() replaces options at their path and keeps the others', (t) => {
  const config = { name: 'a', log: { format: 'json' } }
  t.deepEqual(applyOverrides(config, { 'log.level': 'warn', name: undefined, workers: 2 }), { name: 'a', workers: 2, log: { format: 'json', level: 'warn' } })
  t.deepEqual(config, { name: 'a', log: { format: 'json' } })
})

test('applyOverrides() leaves a section of the wrong type for parseConfig() to refuse', (t) => {
  t.throws(() => parseConfig(applyOverrides({ log: 'x' }, { 'log.level': 'warn' })), { message: 'log must be an object, got "x"' })
})

const listens = (listen: unknown, overrides: Record<string, unknown>) => (applyOverrides({ listen }, overrides) as { listen: unknown }).listen

test('port and host change the first TCP address', (t) => {
  t.deepEqual(listens({ port: 1, host: 'a' }, { port: 2 }), [{ port: 2, host: 'a' }])
  t.deepEqual(listens([{ path: 's' }, { port: 1 }, { port: 3 }], { port: 2, host: 'b' }), [{ path: 's' }, { port: 2, host: 'b' }, { port: 3 }])
})

test('port and host add an address where there is no TCP', (t) => {
  t.deepEqual(listens(undefined, { host: '::' }), { port: 5200, host: '::' })
  t.deepEqual(listens({ path: 's' }, { port: 2 }), [{ port: 2 }, { path: 's' }])
})
