import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { UserError } from "#base";
import { createLocalFolders } from "./local-folders.ts";

const root = mkdtempSync(join(tmpdir(), "knarr-local-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const folders = createLocalFolders(join(root, "volumes"));

test("a folder is made for everybody, keeps what is in it, and goes with all of it", async () => {
  const path = await folders.create("pvc-1");
  expect(statSync(path).mode & 0o777).toBe(0o777);
  writeFileSync(join(path, "row"), "kept");
  expect(await folders.create("pvc-1")).toBe(path);
  expect(readFileSync(join(path, "row"), "utf8")).toBe("kept");
  await folders.delete("pvc-1");
  await folders.delete("pvc-1");
  expect(existsSync(path)).toBe(false);
});

test("links in it are not followed", async () => {
  const outside = join(root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "file"), "");
  symlinkSync(outside, join(await folders.create("pvc-2"), "out"));
  await folders.delete("pvc-2");
  expect(existsSync(join(outside, "file"))).toBe(true);
});

test.each(["", "..", "../x", "a/b", "_a", ".hidden", `${"a".repeat(300)}`])(
  "%j is no volume",
  async (name) => {
    await expect(folders.create(name)).rejects.toThrow(UserError);
    await expect(folders.delete(name)).rejects.toThrow(UserError);
  },
);
