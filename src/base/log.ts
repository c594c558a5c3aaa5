/** Structured logs (pino): one line of JSON each, a `component` on every line. */
import { type DestinationStream, type Logger as PinoLogger, pino } from "pino";

export type Logger = PinoLogger;
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

/** A root logger; components take `log.child({ component: "scheduler" })`. */
export function createLogger(options: { level?: LogLevel; destination?: DestinationStream } = {}): Logger {
  const settings = {
    level: options.level ?? "info",
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(settings, options.destination ?? logDestination());
}

/** What may wait for a disk to have space again; more is dropped. */
const waitingMaxBytes = 1024 * 1024;

/** Written at once. A full disk or a closed pipe is no reason to stop, nor to fail in the middle of other work. */
export function logDestination(fd = 1): DestinationStream {
  const stream = pino.destination({ fd, sync: true, maxLength: waitingMaxBytes });
  stream.on("error", () => {});
  return stream;
}

/** Says nothing. */
export const silentLogger: Logger = pino({ level: "silent" });
