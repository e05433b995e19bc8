import type { ResolvedConfig } from '../options.ts'

/** The configuration as the core reads it (`crates/sluice-core/src/config.rs`): one JSON document, every field present, 0 = off. */
export function toNativeConfig(config: ResolvedConfig): string {
  const { replay, maxBody, status } = config.onWorkerCrash
  return JSON.stringify({
    ports: config.listen.map((listen, index) => ({
      name: portName(index),
      listen,
      limits: { ...config.limits, softTimeout: config.requestTimeout.soft },
      heartbeat: config.heartbeat,
      tcp: config.tcp,
    })),
    reactors: config.core.threads,
    affinity: config.core.affinity,
    dispatch: config.dispatch,
    stuckAfter: config.stuckAfter,
    replay: { safeMethods: replay === 'idempotent', maxBody, status },
    topics: config.topics,
    serverHeader: config.serverHeader === false ? null : config.serverHeader,
  })
}

/** What `server.port(name)` calls the addresses of `listen`: `main`, `main2`, … */
function portName(index: number): string {
  return index === 0 ? 'main' : `main${index + 1}`
}
