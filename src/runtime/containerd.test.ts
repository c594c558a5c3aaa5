import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { crunFits } from "./containerd.ts";

const root = mkdtempSync(join(tmpdir(), "knarr-cgroups-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test.each([
  ["v2 alone", { "cgroup.controllers": "cpu memory\n" }, true],
  ["v1 alone", { "memory/cgroup.procs": "" }, true],
  ["v1 beside a v2 that has nothing to say", { "unified/cgroup.controllers": "" }, true],
  ["v1 beside a v2 with what v1 lacks", { "unified/cgroup.controllers": "hugetlb\n" }, false],
])("crun and cgroups of %s: %#", (name, files, fits) => {
  const dir = join(root, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(dir, file, ".."), { recursive: true });
    writeFileSync(join(dir, file), text);
  }
  expect(crunFits(dir)).toBe(fits);
});
