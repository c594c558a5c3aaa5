/** The conformance tests name entries that are on the official list, each once. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, sources } from "./sources.ts";

const listFile = join(root, "../shared/spec/conformance.json");
const written = sources
  .filter((source) => source.path.startsWith("test/conformance/") && source.path.endsWith(".test.ts"))
  .flatMap((source) =>
    [...source.text.matchAll(/\bconformance\(\s*"([^"]+)"/g)].map((match) => ({
      path: source.path,
      id: match[1]!,
    })),
  );

test("every conformance test has an entry of its own", () => {
  const ids = written.map((entry) => entry.id);
  expect(ids.length).toBeGreaterThan(0);
  expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
});

test("every conformance test stands in the folder of its area", () => {
  const astray = written.filter((entry) => !entry.path.includes(`/${entry.id.slice(0, -7)}/`));
  expect(astray).toEqual([]);
});

// The list is not part of this project: where it lies beside it, the ids are checked against it.
test.skipIf(!existsSync(listFile))("every conformance test is on the list", () => {
  const listed = new Set(
    (JSON.parse(readFileSync(listFile, "utf8")) as { id: string }[]).map((entry) => entry.id),
  );
  expect(written.filter((entry) => !listed.has(entry.id))).toEqual([]);
});
