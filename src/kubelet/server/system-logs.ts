/**
 * `GET /logs/…`: the machine's own logs, files and folders below `/var/log`, as Go's file server shows them.
 * https://kubernetes.io/docs/concepts/cluster-administration/system-logs/
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { basename, join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import { codeOf } from "#base";
import { HttpError, pathParts } from "./request.ts";

const entriesMax = 10_000;
const sniffBytes = 512;

const notFound = () => new HttpError(404, "404 page not found");

/** The part of a file that a `Range` asks for; undefined: all of it. Throws `HttpError` 416 for one beyond its end. Pure. */
export function rangeOf(
  header: string | undefined,
  size: number,
): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== "" && last !== "" && Number(last) < start) return undefined;
  if (start >= size) throw new HttpError(416, "invalid range: failed to overlap");
  return { start, end };
}

/** By what it begins with: text, or bytes. Pure. */
export function contentTypeOf(name: string, head: Buffer): string {
  if (name.endsWith(".gz")) return "application/gzip";
  const isBinary = head.some(
    (byte) => byte <= 8 || byte === 0x0b || (byte >= 0x0e && byte <= 0x1f && byte !== 0x1b),
  );
  return isBinary ? "application/octet-stream" : "text/plain; charset=utf-8";
}

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

/** Pure. */
export function listingOf(names: readonly string[]): string {
  const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => entities[c]!);
  const hrefOf = (name: string) => {
    const path = encodeURIComponent(name).replaceAll("%2F", "/");
    // A colon before any slash would begin a scheme.
    return /^[^/]*%3A/.test(path) ? `./${path}` : path;
  };
  const lines = names.map((name) => `<a href="${hrefOf(name)}">${escaped(name)}</a>\n`);
  return `<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n${lines.join("")}</pre>\n`;
}

/** Below `dir`, wherever its links lead: whoever may read `nodes/log` may read what root can. */
export async function serveSystemLogs(
  dir: string,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const name = posix.normalize(`/${pathParts(url).join("/")}`).replace(/\/$/, "");
  if (name.includes("\0")) throw notFound();
  const path = join(dir, name);
  const isFolderPath = url.pathname.endsWith("/");
  const file = await opened(path);
  try {
    const info = await file.stat();
    const own = encodeURIComponent(basename(url.pathname));
    if (info.isDirectory()) {
      if (!isFolderPath) return redirect(response, `${own}/`);
      const entries = await readdir(path, { withFileTypes: true });
      const names = entries.map((each) => (each.isDirectory() ? `${each.name}/` : each.name)).sort();
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(listingOf(names.slice(0, entriesMax)));
      return;
    }
    if (!info.isFile()) throw notFound();
    if (isFolderPath) return redirect(response, `../${own}`);
    await sendFile(file, name, { size: info.size, mtimeMs: info.mtimeMs }, request, response);
  } finally {
    await file.close();
  }
}

/** Without waiting for whoever writes into a pipe. */
async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "EACCES" || codeOf(error) === "EPERM") throw new HttpError(403, "403 Forbidden");
    throw notFound();
  }
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(301, { location });
  response.end();
}

async function sendFile(
  file: FileHandle,
  name: string,
  { size, mtimeMs }: { size: number; mtimeMs: number },
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const modified = { "last-modified": new Date(mtimeMs).toUTCString(), "accept-ranges": "bytes" };
  const since = Date.parse(headers["if-modified-since"] ?? "");
  if (Math.floor(mtimeMs / 1000) * 1000 <= since) {
    response.writeHead(304, modified);
    response.end();
    return;
  }
  const range = rangeOf(headers.range, size);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(sniffBytes), 0, sniffBytes, 0);
  const { start, end } = range ?? { start: 0, end: size - 1 };
  response.writeHead(range ? 206 : 200, {
    ...modified,
    "content-type": contentTypeOf(name, buffer.subarray(0, bytesRead)),
    "content-length": Math.max(0, end - start + 1),
    ...(range ? { "content-range": `bytes ${start}-${end}/${size}` } : {}),
  });
  if (size === 0) response.end();
  // What is written meanwhile is left for the next question.
  else
    await pipeline(file.createReadStream({ start, end, autoClose: false }), response).catch(() =>
      response.destroy(),
    );
}
