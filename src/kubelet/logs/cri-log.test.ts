import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { createWorld, silentLogger, systemClock, VirtualClock } from "#base";

import { logOptions, readLog } from "../server/logs.ts";
import { parseLogLine, tailLines, tailOffset } from "./cri-log.ts";
import { LogRenderer, type Rendering } from "./rendering.ts";
import { rotateLog, rotateLogs } from "./rotation.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-logs-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const time = "2026-11-22T03:00:00.000000001Z";
const line = (text: string, tag = "F", stream = "stdout") => `${time} ${stream} ${tag} ${text}\n`;

test("lines of the runtime are read, others are not", () => {
  expect(parseLogLine(Buffer.from(`${time} stderr P a b`))).toEqual({
    time,
    stream: "stderr",
    partial: true,
    text: Buffer.from("a b"),
  });
  expect(parseLogLine(Buffer.from(`${time} stdout F`))?.text.length).toBe(0);
  for (const bad of ["", "x", `${time} stdin F x`, `${time}`])
    expect(parseLogLine(Buffer.from(bad))).toBeUndefined();
  fc.assert(
    fc.property(
      fc.uint8Array(),
      (bytes) => parseLogLine(Buffer.from(bytes)) === undefined || bytes.length > 10,
    ),
  );
});

test("the tail begins where it should, with and without a last newline", async () => {
  const path = join(dir, "tail");
  const input = fc.tuple(
    fc.array(fc.stringMatching(/^[a-z]{0,3}$/), { maxLength: 12 }),
    fc.nat(14),
    fc.boolean(),
  );
  await fc.assert(
    fc.asyncProperty(input, async ([lines, count, open]) => {
      const whole = lines.map((l) => `${l}\n`).join("");
      const rest = open ? "unfinished" : "";
      writeFileSync(path, whole + rest);
      const all = open ? [...lines.map((l) => `${l}\n`), rest] : lines.map((l) => `${l}\n`);
      const expected = count === 0 ? "" : all.slice(-count).join("");
      expect((whole + rest).slice(await tailOffset(path, count))).toBe(expected);
    }),
    { numRuns: 60 },
  );
});

test("the last words are joined as they were said", async () => {
  const path = join(dir, "words");
  writeFileSync(path, line("first") + line("sec", "P") + line("ond") + line("third", "F", "stderr"));
  expect(await tailLines(path, 3)).toBe("second\nthird\n");
  expect(await tailLines(join(dir, "none"), 3)).toBe("");
});

test("a log is followed through its rotation until its container ends", async () => {
  const path = join(dir, "follow.log");
  writeFileSync(path, line("a"));
  let running = true;
  const follow = {
    running: async () => running,
    world: createWorld({ log: silentLogger }),
    signal: new AbortController().signal,
  };
  const seen: string[] = [];
  const renderer = new LogRenderer(logOptions(new URL("https://k/x"), 0));
  const reading = (async () => {
    for await (const block of readLog(path, 0, follow))
      seen.push(...renderer.render(block, Buffer.alloc(100)).toString().trim().split("\n"));
  })();
  const until = async (count: number) => {
    while (seen.length < count) await systemClock.sleep(5);
  };
  await until(1);
  appendFileSync(path, line("b"));
  await until(2);
  renameSync(path, `${path}.old`);
  writeFileSync(path, line("c"));
  await until(3);
  appendFileSync(path, line("d"));
  running = false;
  await reading;
  expect(seen).toEqual(["a", "b", "c", "d"]);
});

test("what a container says as its log is rotated and it ends is followed too", async () => {
  const path = join(dir, "ending.log");
  writeFileSync(path, line("a"));
  const follow = {
    running: async () => {
      appendFileSync(path, line("b"));
      renameSync(path, `${path}.old`);
      writeFileSync(path, line("c"));
      return false;
    },
    world: createWorld({ log: silentLogger }),
    signal: new AbortController().signal,
  };
  const renderer = new LogRenderer(logOptions(new URL("https://k/x"), 0));
  let seen = "";
  for await (const block of readLog(path, 0, follow))
    seen += renderer.render(block, Buffer.alloc(100)).toString();
  expect(seen).toBe("a\nb\nc\n");
});

test("a rotated log keeps few files, and comes back when the runtime refuses", async () => {
  const path = join(dir, "rotate.log");
  const limits = { maxBytes: 10, maxFiles: 3 };
  for (let i = 0; i < 5; i++) {
    writeFileSync(path, "x".repeat(20));
    expect(
      await rotateLog(path, limits, Date.UTC(2026, 0, 1, 0, 0, i), async () => writeFileSync(path, "")),
    ).toBe(true);
  }
  expect(await rotateLog(path, limits, 0, async () => {})).toBe(false);
  expect(readdirSync(dir).filter((n) => n.startsWith("rotate.log")).length).toBe(3);
  writeFileSync(path, "x".repeat(20));
  await expect(rotateLog(path, limits, 0, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(readdirSync(dir)).toContain("rotate.log");
});

test("so many logs are turned over at once, whatever becomes of one of them", async () => {
  for (const workers of [1, 3]) {
    let atOnce = 0;
    let most = 0;
    const logs = Array.from({ length: 6 }, (_, i) => {
      const path = join(dir, `many-${workers}-${i}.log`);
      writeFileSync(path, "x".repeat(20));
      const reopen = async () => {
        most = Math.max(most, ++atOnce);
        while (most < workers) await setImmediate();
        atOnce--;
        if (i === 1) throw new Error("no");
        writeFileSync(path, "");
      };
      return { path, reopen };
    });
    const limits = { maxBytes: 10, maxFiles: 2 };
    await expect(rotateLogs(logs, limits, workers, new VirtualClock())).rejects.toThrow("no");
    expect(most).toBe(workers);
    expect(logs.map(({ path }) => statSync(path).size)).toEqual([0, 20, 0, 0, 0, 0]);
  }
});

test("options of a request are checked", () => {
  const options = logOptions(
    new URL("https://k/x?follow=true&tailLines=5&sinceSeconds=10&timestamps=1"),
    60_000,
  );
  expect(options).toMatchObject({
    follow: true,
    tailLines: 5,
    sinceMs: 50_000,
    timestamps: true,
    previous: false,
  });
  for (const bad of [
    "tailLines=-1",
    "tailLines=x",
    "sinceTime=yesterday",
    "limitBytes=0",
    "sinceSeconds=1.5",
  ]) {
    expect(() => logOptions(new URL(`https://k/x?${bad}`), 0)).toThrow(/invalid/);
  }
});

/** What `LogRenderer` says of many lines at once, line by line. */
function renderedOneByOne(lines: readonly string[], options: Rendering): string {
  let continued = false;
  let text = "";
  for (const each of lines) {
    const parsed = parseLogLine(Buffer.from(each));
    if (!parsed) continue;
    const head = options.timestamps && !continued ? `${parsed.time} ` : "";
    continued = parsed.partial;
    if (options.stream && options.stream !== parsed.stream) continue;
    if (options.sinceMs !== undefined && Date.parse(parsed.time) < options.sinceMs) continue;
    text += head + parsed.text.toString("latin1") + (parsed.partial ? "" : "\n");
  }
  return text.slice(0, options.limitBytes);
}

test("many lines at once are what they are one by one, wherever they are cut", () => {
  const written = fc
    .tuple(
      fc.nat(3),
      fc.constantFrom("stdout", "stderr", "stdin", ""),
      fc.constantFrom("F", "P", "P:x", "PP", "", "F:P"),
      fc.constantFrom("", " ", " text", " two words", "x"),
    )
    .map(([second, stream, tag, text]) => `2026-11-22T03:00:0${second}.5Z ${stream} ${tag}${text}`);
  const lines = fc.array(fc.oneof(written, fc.stringMatching(/^[a-z ]{0,12}$/)), { maxLength: 20 });
  const options = fc.record({
    timestamps: fc.boolean(),
    limitBytes: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
    sinceMs: fc.option(fc.constant(Date.UTC(2026, 10, 22, 3, 0, 2)), { nil: undefined }),
    stream: fc.constantFrom("stdout" as const, "stderr" as const, undefined),
  });
  fc.assert(
    fc.property(lines, options, fc.nat(20), (all, asked, cut) => {
      const renderer = new LogRenderer(asked);
      const block = (some: readonly string[]) => Buffer.from(some.map((each) => `${each}\n`).join(""));
      const text = [all.slice(0, cut), all.slice(cut)].map((some) =>
        renderer.render(block(some), Buffer.alloc(2048)),
      );
      expect(Buffer.concat(text).toString("latin1")).toBe(renderedOneByOne(all, asked));
    }),
    { numRuns: 500 },
  );
});

test("a long log is read whole, and what fits into no line of the runtime's is left out", async () => {
  const path = join(dir, "long.log");
  const words = Array.from({ length: 5000 }, (_, i) => `${i} ${"x".repeat(i % 97)}`);
  writeFileSync(path, words.map((text) => line(text)).join(""));
  const renderer = new LogRenderer(logOptions(new URL("https://k/x"), 0));
  const read = async () => {
    let text = "";
    for await (const block of readLog(path, 0, undefined))
      text += renderer.render(block, Buffer.alloc(block.length)).toString();
    return text;
  };
  const whole = words.map((text) => `${text}\n`).join("");
  expect(await read()).toBe(whole);
  appendFileSync(path, `${"y".repeat(300_000)}\n${line("end")}`);
  expect(await read()).toBe(`${whole}end\n`);
});
