/** The house rules that are about single files. Function length and style are Biome's work. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { filesUnder, isGenerated, isTest, root, sources } from "./sources.ts";

const linesMax = 500;
const written = sources.filter((source) => !isGenerated(source.path));

test(`files stay under ${linesMax} lines`, () => {
  const long = written.filter((source) => source.text.split("\n").length > linesMax);
  expect(long.map((source) => source.path)).toEqual([]);
});

test("every source begins by saying what it is for", () => {
  const silent = written.filter(
    (source) =>
      source.room &&
      !isTest(source.path) &&
      !source.path.endsWith("/index.ts") &&
      !/^\/[/*]/.test(source.text),
  );
  expect(silent.map((source) => source.path)).toEqual([]);
});

/** What a component must get through its `World` instead. */
const worldly: [string, RegExp][] = [
  ["a timer", /(?<![.\w])(?:setTimeout|setInterval)\(/],
  ["the wall clock", /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/],
  ["randomness", /\bMath\.random\(|\brandomUUID\(|\brandomBytes\(|\bgetRandomValues\(/],
];

test.each(worldly)("nothing outside base reaches for %s", (_, pattern) => {
  const offenders = written.filter(
    (source) => source.room && source.room !== "base" && !isTest(source.path) && pattern.test(source.text),
  );
  expect(offenders.map((source) => source.path)).toEqual([]);
});

test("the environment is read at the command line only", () => {
  const may = new Set(["base", "distro", "cli"]);
  const offenders = written.filter(
    (source) =>
      source.room && !may.has(source.room) && !isTest(source.path) && /\bprocess\.env\b/.test(source.text),
  );
  expect(offenders.map((source) => source.path)).toEqual([]);
});

test("nothing is switched off", () => {
  const switches =
    /@ts-(?:ignore|expect-error|nocheck)|biome-ignore|\bas any\b|\b(?:it|test|describe)\.(?:only|todo)\b/;
  const offenders = written.filter(
    (source) => source.path !== "test/tidy/house.test.ts" && switches.test(source.text),
  );
  expect(offenders.map((source) => source.path)).toEqual([]);
});

test("every room says what it is for", () => {
  const rooms = [...new Set(sources.flatMap((source) => source.room ?? []))];
  expect(rooms.filter((room) => !existsSync(join(root, "src", room, "README.md")))).toEqual([]);
});

test("links between documents lead somewhere", () => {
  const broken = filesUnder(".", (name) => name.endsWith(".md")).flatMap((path) => {
    const text = readFileSync(join(root, path), "utf8");
    return [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .filter((match) => !existsSync(join(root, dirname(path), match[1]!)))
      .map((match) => `${path}: ${match[1]}`);
  });
  expect(broken).toEqual([]);
});
