export { type Clock, systemClock, type Timer, VirtualClock } from "./clock.ts";
export { optimizeAfterLastingWork, optimizeFromNowOn } from "./compilers.ts";
export { type Daemon, type DaemonOptions, findDaemon, startDaemon, stopDaemon } from "./daemon.ts";
export { formatGoDuration, goDurationMs, parseGoDuration } from "./durations.ts";
export { assert, BugError, codeOf, messageOf, UserError, unreachable } from "./errors.ts";
export { enableFailpoint, type FailpointAction, FailpointError, failpoint } from "./failpoint.ts";
export { flushDisk, writeDurably } from "./files.ts";
export { createLogger, type Logger, type LogLevel, silentLogger } from "./log.ts";
export { releaseMemoryAfterWork } from "./memory.ts";
export { type Counter, exponentialBuckets, type Gauge, type Histogram, Metrics } from "./metric.ts";
export { applyNftRules, deleteNftTable, type NftFamily, nftTableName } from "./nft.ts";
export { findProgram, type RunOptions, type RunResult, run, runOk } from "./process.ts";
export {
  endProcess,
  identityOf,
  isAlive,
  type ProcessIdentity,
  readPidFile,
  writePidFile,
} from "./process-identity.ts";
export { Channel } from "./queue.ts";
export { type Random, seededRandom, systemRandom } from "./random.ts";
export { Rate } from "./rate.ts";
export { Turns } from "./turn.ts";
export { createWorld, forComponent, type World } from "./world.ts";
