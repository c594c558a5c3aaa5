/** `GET /containerLogs/<namespace>/<pod>/<container>`: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/ */
import { once } from "node:events";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { parseTime } from "#api";
import type { World } from "#base";
import { type LogLine, parseLogLine, tailOffset } from "../logs/cri-log.ts";
import {
  booleanParameter,
  findContainer,
  findPod,
  HttpError,
  numberParameter,
  pathParts,
  type Serving,
} from "./request.ts";

export interface LogOptions {
  follow: boolean;
  timestamps: boolean;
  previous: boolean;
  tailLines: number | undefined;
  limitBytes: number | undefined;
  sinceMs: number | undefined;
  stream: "stdout" | "stderr" | undefined;
}

export function logOptions(url: URL, nowMs: number): LogOptions {
  const sinceSeconds = numberParameter(url, "sinceSeconds", 1);
  const sinceTime = url.searchParams.get("sinceTime");
  const sinceTimeMs = sinceTime ? parseTime(sinceTime) : undefined;
  if (sinceTime && sinceTimeMs === undefined) throw new HttpError(400, `invalid sinceTime: ${sinceTime}`);
  const stream = url.searchParams.get("stream")?.toLowerCase();
  return {
    follow: booleanParameter(url, "follow"),
    timestamps: booleanParameter(url, "timestamps"),
    previous: booleanParameter(url, "previous"),
    tailLines: numberParameter(url, "tailLines", 0),
    limitBytes: numberParameter(url, "limitBytes", 1),
    sinceMs: sinceSeconds !== undefined ? nowMs - sinceSeconds * 1000 : sinceTimeMs,
    stream: stream === "stdout" || stream === "stderr" ? stream : undefined,
  };
}

const chunkBytes = 64 * 1024;
/** A line of the runtime's has at most 16 KiB of text; anything longer is not its. */
const lineMaxBytes = 1024 * 1024;
const pollMs = 100;

/**
 * The lines of a log file, and with `running` those still to come, through rotations. `running` says whether more may
 * come; it is asked only at the end of the file.
 */
export async function* readLog(
  path: string,
  offset: number,
  follow: { running(): Promise<boolean>; world: World; signal: AbortSignal } | undefined,
): AsyncGenerator<LogLine> {
  let file: FileHandle = await open(path, "r");
  try {
    let position = offset;
    let rest = Buffer.alloc(0);
    let last = false;
    for (;;) {
      const buffer = Buffer.alloc(chunkBytes);
      const { bytesRead } = await file.read(buffer, 0, chunkBytes, position);
      position += bytesRead;
      rest =
        rest.length > 0
          ? Buffer.concat([rest, buffer.subarray(0, bytesRead)])
          : buffer.subarray(0, bytesRead);
      let start = 0;
      for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a, start)) {
        const line = parseLogLine(rest.subarray(start, end));
        if (line) yield line;
        start = end + 1;
      }
      rest = rest.length - start > lineMaxBytes ? Buffer.alloc(0) : rest.subarray(start);
      if (bytesRead > 0) continue;
      if (!follow || last || follow.signal.aborted) return;
      const next = await reopened(path, file);
      if (next) {
        await file.close();
        file = next;
        position = 0;
        continue;
      }
      // What was written between the last read and the end is read once more.
      last = !(await follow.running());
      if (!last) await follow.world.clock.sleep(pollMs, follow.signal);
    }
  } finally {
    await file.close();
  }
}

/** The new file when the path has been rotated away from the one that is open. */
async function reopened(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [now, mine] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  return now && now.ino !== mine.ino ? open(path, "r") : undefined;
}

/** Bytes of one line as the client asked for them. */
export function renderLine(line: LogLine, timestamps: boolean, continued: boolean): Buffer {
  const end = line.partial ? Buffer.alloc(0) : Buffer.from("\n");
  const time = timestamps && !continued ? Buffer.from(`${line.time} `) : Buffer.alloc(0);
  return Buffer.concat([time, line.text, end]);
}

async function send(
  response: ServerResponse,
  lines: AsyncIterable<LogLine>,
  options: LogOptions,
  signal: AbortSignal,
): Promise<void> {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  let continued = false;
  for await (const line of lines) {
    if (signal.aborted || left <= 0) return;
    const wasContinued = continued;
    continued = line.partial;
    if (options.stream && line.stream !== options.stream) continue;
    if (options.sinceMs !== undefined && Date.parse(line.time) < options.sinceMs) continue;
    const bytes = renderLine(line, options.timestamps, wasContinued).subarray(0, left);
    left -= bytes.length;
    if (!response.write(bytes)) await Promise.race([once(response, "drain"), once(response, "close")]);
  }
}

export async function serveLogs(serving: Serving, response: ServerResponse, url: URL): Promise<void> {
  const { context } = serving;
  const [namespace, name, container = ""] = pathParts(url);
  const options = logOptions(url, context.world.clock.now());
  const found = findContainer(await findPod(serving, namespace, name), container, options.previous);
  const closed = new AbortController();
  response.on("close", () => closed.abort());
  const size = await stat(found.logPath).then(
    (s) => s.size,
    () => undefined,
  );
  response.writeHead(200, { "content-type": "text/plain", "transfer-encoding": "chunked" });
  response.flushHeaders();
  if (size !== undefined) {
    const offset = options.tailLines === undefined ? 0 : await tailOffset(found.logPath, options.tailLines);
    const running = async () => {
      const status = await context.runtime.containerStatus(found.id).catch(() => undefined);
      return status?.state === "CONTAINER_RUNNING" || status?.state === "CONTAINER_CREATED";
    };
    const follow = options.follow ? { running, world: context.world, signal: closed.signal } : undefined;
    await send(response, readLog(found.logPath, offset, follow), options, closed.signal);
  }
  response.end();
}
