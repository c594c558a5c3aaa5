/** `GET /containerLogs/<namespace>/<pod>/<container>`: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/ */
import { type FileHandle, open, stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { parseTime } from "#api";
import { optimizeFromNowOn, type World } from "#base";
import { tailOffset } from "../logs/cri-log.ts";
import { LogRenderer, type Rendering } from "../logs/rendering.ts";
import {
  booleanParameter,
  findContainer,
  findPod,
  HttpError,
  numberParameter,
  pathParts,
  type Serving,
} from "./request.ts";

export interface LogOptions extends Rendering {
  follow: boolean;
  previous: boolean;
  tailLines: number | undefined;
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

const newline = 0x0a;
/** A line of the runtime's has at most 16 KiB of text; anything that does not fit is not its. */
const chunkBytes = 128 * 1024;
const pollMs = 100;
/** The runtime is asked less often than the file whether there is more to come; upstream asks every five seconds. */
const pollsPerQuestion = 10;

/**
 * The whole lines of a log file, many at a time, and with `running` those still to come, through rotations. `running`
 * says whether more may come; it is asked only at the end of the file. What is answered holds until the next is asked
 * for: a long log is read through one buffer, since each one more has to be collected again.
 */
export async function* readLog(
  path: string,
  offset: number,
  follow: { running(): Promise<boolean>; world: World; signal: AbortSignal } | undefined,
): AsyncGenerator<Buffer> {
  let file: FileHandle = await open(path, "r");
  let next: FileHandle | undefined;
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  try {
    let position = offset;
    let rest = 0;
    let last = false;
    for (let polls = 0; ; ) {
      const { bytesRead } = await file.read(buffer, rest, chunkBytes - rest, position);
      position += bytesRead;
      const length = rest + bytesRead;
      const end = bytesRead > 0 ? buffer.subarray(0, length).lastIndexOf(newline) + 1 : 0;
      if (end > 0) yield buffer.subarray(0, end);
      rest = end === 0 && length === chunkBytes ? 0 : length - end;
      buffer.copyWithin(0, end, end + rest);
      if (bytesRead > 0) continue;
      if (next) {
        await file.close();
        file = next;
        next = undefined;
        position = 0;
        rest = 0;
        continue;
      }
      if (!follow || follow.signal.aborted) return;
      next = await reopened(path, file);
      // What was written to the old one between the last read and its end is read first.
      if (next) continue;
      if (last) return;
      // What was written between the last read and the end is read once more.
      last = polls++ % pollsPerQuestion === 0 && !(await follow.running());
      if (!last) await follow.world.clock.sleep(pollMs, follow.signal);
    }
  } finally {
    await Promise.all([file.close(), next?.close()]);
  }
}

/** The new file when the path has been rotated away from the one that is open. */
async function reopened(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [now, mine] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  return now && now.ino !== mine.ino ? open(path, "r") : undefined;
}

/** While one is on its way, the next is made. */
const inFlight = 2;
/** 8 MB: a log that is longer is worth being read by optimized code, which is three times as quick. */
const longBlocks = 64;

async function send(
  response: ServerResponse,
  blocks: AsyncIterable<Buffer>,
  options: LogOptions,
  signal: AbortSignal,
): Promise<void> {
  const renderer = new LogRenderer(options);
  const gone = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const outs = Array.from({ length: inFlight }, () => ({
    bytes: Buffer.allocUnsafeSlow(chunkBytes),
    written: Promise.resolve(),
  }));
  let turn = 0;
  for await (const block of blocks) {
    const out = outs[turn++ % inFlight]!;
    if (turn === longBlocks) optimizeFromNowOn();
    await Promise.race([out.written, gone]);
    if (signal.aborted || renderer.isFull) return;
    const bytes = renderer.render(block, out.bytes);
    if (bytes.length > 0) out.written = new Promise((resolve) => response.write(bytes, () => resolve()));
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
