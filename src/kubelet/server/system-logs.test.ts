import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runOk } from "#base";
import type { HttpError } from "./request.ts";
import { contentTypeOf, listingOf, rangeOf, serveSystemLogs } from "./system-logs.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-logs-"));
const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://kubelet");
  serveSystemLogs(dir, request, response, url).catch(({ status, message }: HttpError) => {
    response.writeHead(status ?? 500);
    response.end(message);
  });
});
beforeAll(async () => {
  mkdirSync(join(dir, "pods"));
  writeFileSync(join(dir, "messages"), "one\ntwo\nthree\n");
  utimesSync(join(dir, "messages"), 1_700_000_000, 1_700_000_000);
  writeFileSync(join(dir, "wtmp"), Buffer.from([1, 0, 2]));
  writeFileSync(join(dir, "empty"), "");
  writeFileSync(join(dir, "a <b>:c"), "odd");
  symlinkSync("messages", join(dir, "link"));
  await runOk("mkfifo", [join(dir, "pipe")]);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true, force: true });
});

async function get(path: string, headers: Record<string, string> = {}) {
  const { port } = server.address() as AddressInfo;
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers, redirect: "manual" });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

test("a folder is a list of links, as Go writes it", async () => {
  const { status, headers, text } = await get("/logs/");
  expect(status).toBe(200);
  expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(text).toBe(`<!doctype html>
<meta name="viewport" content="width=device-width">
<pre>
<a href="./a%20%3Cb%3E%3Ac">a &lt;b&gt;:c</a>
<a href="empty">empty</a>
<a href="link">link</a>
<a href="messages">messages</a>
<a href="pipe">pipe</a>
<a href="pods/">pods/</a>
<a href="wtmp">wtmp</a>
</pre>
`);
});

test.each([
  ["/logs/messages", "one\ntwo\nthree\n", "text/plain; charset=utf-8"],
  ["/logs/link", "one\ntwo\nthree\n", "text/plain; charset=utf-8"],
  ["/logs/pods/%2E%2E/messages", "one\ntwo\nthree\n", "text/plain; charset=utf-8"],
  ["/logs/a%20%3Cb%3E%3Ac", "odd", "text/plain; charset=utf-8"],
  ["/logs/wtmp", "\u0001\0\u0002", "application/octet-stream"],
  ["/logs/empty", "", "text/plain; charset=utf-8"],
])("%s is a file", async (path, wanted, type) => {
  const { status, headers, text } = await get(path);
  expect([status, text, headers.get("content-type")]).toEqual([200, wanted, type]);
});

test.each([
  ["/logs", 301, "logs/"],
  ["/logs/pods", 301, "pods/"],
  ["/logs/messages/", 301, "../messages"],
])("%s leads elsewhere", async (path, status, location) => {
  const answer = await get(path);
  expect([answer.status, answer.headers.get("location")]).toEqual([status, location]);
});

test.each([
  ["/logs/missing", 404],
  ["/logs/messages/below", 404],
  ["/logs/pipe", 404],
  ["/logs/%00", 404],
  ["/logs/..%2f..%2fetc%2fpasswd", 404],
  ["/logs/%zz", 400],
])("%s is refused", async (path, status) => {
  expect((await get(path)).status).toBe(status);
});

test("a part of a file, and nothing of one that has not changed", async () => {
  const part = await get("/logs/messages", { range: "bytes=4-6" });
  expect([part.status, part.text, part.headers.get("content-range")]).toEqual([206, "two", "bytes 4-6/14"]);
  expect((await get("/logs/messages", { range: "bytes=-6" })).text).toBe("three\n");
  expect((await get("/logs/messages", { range: "bytes=99-" })).status).toBe(416);
  const since = "Tue, 14 Nov 2023 22:13:20 GMT";
  expect((await get("/logs/messages", { "if-modified-since": since })).status).toBe(304);
});

test("a part lies within the file, whatever is asked for", () => {
  const number = fc.option(fc.nat(30), { nil: undefined });
  fc.assert(
    fc.property(number, number, fc.integer({ min: 1, max: 20 }), (first, last, size) => {
      let range: ReturnType<typeof rangeOf>;
      try {
        range = rangeOf(`bytes=${first ?? ""}-${last ?? ""}`, size);
      } catch (error) {
        return (error as HttpError).status === 416;
      }
      return range === undefined || (range.start >= 0 && range.start <= range.end && range.end < size);
    }),
  );
});

test("names and contents are told apart", () => {
  expect(contentTypeOf("a.gz", Buffer.from([0x1f]))).toBe("application/gzip");
  expect(contentTypeOf("a", Buffer.from("\u001b[31mred\u001b[0m\n"))).toBe("text/plain; charset=utf-8");
  expect(listingOf([])).toContain("<pre>\n</pre>");
});
