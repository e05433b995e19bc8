/** The public surface of Sluice. */
export { createServer, serve, server } from './server.ts'
export type { Address, ServeInline, ServeModule, ServeOptions } from './server.ts'
export type {
  DeathReason,
  ErrorSource,
  HealthReport,
  LifecycleEvents,
  LifecycleHandler,
  ReloadOptions,
  ReloadTarget,
  ReloadReport,
  ReloadResult,
  Server,
  ServerStats,
  StartReason,
  TasksJournalStats,
  WorkerErrorEvent,
  WorkerInfo,
  WorkerKind,
  WorkerStats,
} from './process/api.ts'
export { defineProcess } from './process/custom/spec.ts'
export type {
  ChildSpec,
  CommandSpec,
  PipeKind,
  ProcessContext,
  ProcessErrorEvent,
  ProcessHandle,
  ProcessInfo,
  ProcessKind,
  ProcessLeave,
  ProcessOutput,
  ProcessPipe,
  ProcessQueue,
  QueueMode,
  ProcessSpec,
  ThreadSpec,
} from './process/custom/spec.ts'
export { Port, type PortAddress, type PortStats } from './port.ts'
export { defineConfig } from './config/define-config.ts'
export type { Compression, Config, CronConfig, Dispatch, DurableTasks, EofFraming, Framing, Heartbeat, LengthFraming, Limits, Listen, PortProtocol, PortSpec, Proxy, StaticOptions, TaskQueue, TasksConfig, TcpOptions, Tls, UdpPortSpec, TlsIdentity } from './options.ts'
export type { Uploads } from './options.ts'
export type { Form } from './http/form.ts'
export type { UploadedFile, UploadErrorCode } from './http/uploaded-file.ts'
export type { ContentCoding } from './http/content-coding.ts'
export type { DetachedRequest } from './http/detached.ts'
export type { FileOptions } from './http/file-body.ts'
export type { ConfigEnv } from './config/load.ts'
export { SluiceError, type ErrorCode } from './errors.ts'
export type { SharedTimers, TimerInfo } from './timer.ts'
export { defineTask, type TaskCall, type TaskDef, type TaskHandler, type TaskOptions } from './tasks/task.ts'
export { Task } from './tasks/task-class.ts'
export { Event } from './events/event.ts'
export { Listener } from './events/listener.ts'
export type { TaskContext, TaskOrigin } from './tasks/context.ts'
export type { Backoff, DeliverOptions, DeliveryOptions } from './tasks/deliver-options.ts'
export type { TaskFailure } from './tasks/failure.ts'
export type { TaskHandle, TaskStatus } from './tasks/handle.ts'
export type { FailedTaskInfo, QueueInfo, SharedTasks, TaskList } from './tasks/shared-tasks.ts'
export { defineCron } from './cron/define-cron.ts'
export { defineCommandCron, type CommandCronOptions } from './cron/command.ts'
export type { CronJobInfo, CronJobs, CronTrigger } from './cron/cron-jobs.ts'
export { CronJob, type CronContext, type CronDef, type CronEntry, type CronJobClass, type CronMissed, type CronOverlap } from './cron/job.ts'
export { defineApp, type App, type PortHandlers } from './app.ts'
export { defineUdp, type PacketAddress, type UdpHandlers, type UdpPeer } from './udp.ts'
export { Atomic, AtomicLong } from './atomic.ts'
export { defineCache, type Cache, type CacheOptions, type CacheSetOptions, type CacheStats } from './cache.ts'
export { rateLimit, type RateLimit, type RateLimitOptions, type Taken } from './rate-limit.ts'
export { Lock, type AcquireOptions, type Held } from './lock.ts'
export type { WaitOptions } from './bridge/wait.ts'
export { context, scoped } from './context-store.ts'
export type { ConnectionInfo, Context } from './context.ts'
export { defineWebSocket } from './websocket/handlers.ts'
export type { AdoptedFrom, CommonHandlers } from './connection/handlers.ts'
export type { Connection } from './connection/connection.ts'
export { defineTcp, type TcpHandlers } from './tcp/handlers.ts'
export type { TcpConn } from './tcp/connection.ts'
export type { Frame, UpgradeOptions, WebSocketHandlers, WebSocketOptions } from './websocket/handlers.ts'
export type { CloseInfo } from './websocket/close-info.ts'
export type { WebSocketConn } from './websocket/connection.ts'
export type { SocketInfo } from './websocket/connection-info.ts'
export type { ConnectionSet } from './websocket/connection-set.ts'
export type { TlsInfo } from './tls-info.ts'
export type { SseOptions, SseStream } from './websocket/event-stream.ts'
export type { SseEvent } from './websocket/sse-event.ts'
export type { Bytes } from './websocket/payload.ts'
export type { BroadcastOptions, KickTarget, PublishOptions, PushOptions, SlowPolicy } from './websocket/push.ts'
export type { SendOptions } from './websocket/send-options.ts'
export { t } from './table/column.ts'
export type { BigintColumn, BoolColumn, BytesColumn, Column, Columns, FloatColumn, IntColumn, RowOf, StringColumn } from './table/column.ts'
export { table, type TableSpec } from './table/spec.ts'
export { defineTable } from './table/define-table.ts'
export { attachTable, type AttachOptions } from './table/attach-table.ts'
export type { Tables } from './table/configured-tables.ts'
export type { RowOptions, Table, TableStats } from './table/table.ts'
export type { TableEvent, WatchOptions } from './table/watch.ts'
export { WebSocketClient, type WebSocketData } from './websocket/client.ts'
export type { BinaryType, ReadAheadOptions, WebSocketClientOptions } from './websocket/client-options.ts'
export type { ReconnectOptions } from './websocket/client-backoff.ts'
export type {
  WebSocketClientEvents,
  WebSocketCloseEvent,
  WebSocketErrorEvent,
  WebSocketMessageEvent,
  WebSocketReconnectingEvent,
} from './websocket/client-events.ts'
