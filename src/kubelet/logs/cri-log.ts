/**
 * The log files of containers as the runtime writes them: `<time> <stream> <F|P> <text>`, long lines in parts.
 * https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
 */
import { open, stat } from "node:fs/promises";

export interface LogLine {
  /** RFC 3339 with nanoseconds, as written. */
  time: string;
  stream: "stdout" | "stderr";
  /** Not the end of its line. */
  partial: boolean;
  text: Buffer;
}

const space = 0x20;
const newline = 0x0a;

/** Undefined for what the runtime cannot have written. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(space);
  const second = first < 0 ? -1 : line.indexOf(space, first + 1);
  if (second < 0) return undefined;
  const third = line.indexOf(space, second + 1);
  const stream = line.toString("latin1", first + 1, second);
  const tags = line.toString("latin1", second + 1, third < 0 ? line.length : third);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  return {
    time: line.toString("latin1", 0, first),
    stream,
    partial: tags.split(":")[0] === "P",
    text: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}

const chunkBytes = 64 * 1024;

/** Where the last `count` lines begin. */
export async function tailOffset(path: string, count: number): Promise<number> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    if (count === 0) return size;
    const buffer = Buffer.alloc(chunkBytes);
    let left = count;
    for (let position = size; position > 0; ) {
      const length = Math.min(chunkBytes, position);
      position -= length;
      await file.read(buffer, 0, length, position);
      for (let i = length - 1; i >= 0; i--) {
        // The newline that ends the file has no line after it.
        if (buffer[i] !== newline || position + i === size - 1) continue;
        left--;
        if (left === 0) return position + i + 1;
      }
    }
    return 0;
  } finally {
    await file.close();
  }
}

/** The text of the last lines, without what the runtime put before them. */
export async function tailLines(path: string, count: number): Promise<string> {
  const size = await stat(path).then(
    (s) => s.size,
    () => 0,
  );
  if (size === 0) return "";
  const offset = await tailOffset(path, count);
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(Math.min(size - offset, 1024 * 1024));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, Math.max(offset, size - buffer.length));
    return splitLines(buffer.subarray(0, bytesRead))
      .map(parseLogLine)
      .filter((l) => l !== undefined)
      .map((l) => l.text.toString("utf8") + (l.partial ? "" : "\n"))
      .join("");
  } finally {
    await file.close();
  }
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  if (start < bytes.length) lines.push(bytes.subarray(start));
  return lines;
}
