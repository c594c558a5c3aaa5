import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { envFilesFor, fileValue, valueIn } from "./env-files.ts";
import { makeContainer } from "./testing/pods.ts";

const text = `# written by setup
ADDRESS='10.0.0.1'

  ENDPOINT = 'a=b # not a comment'  # a comment
LINES='one
two'
ADDRESS='10.0.0.2'
EMPTY=''`;

test.each([
  ["ADDRESS", "10.0.0.2"],
  ["ENDPOINT", "a=b # not a comment"],
  ["LINES", "one\ntwo"],
  ["EMPTY", ""],
  ["NONE", undefined],
])("the value of %s", (name, value) => {
  expect(valueIn(text, name)).toBe(value);
});

test.each(["A=b", "A='b", "A='b' c", "='b'", "A", 'A="b"'])("%j is no such file", (line) => {
  expect(() => valueIn(`# fine\n${line}\n`, "A")).toThrow("line 2");
});

test("whatever is written in quotes is read as it was", () => {
  fc.assert(
    fc.property(
      fc.string().filter((value) => !/['\r]/.test(value)),
      (value) => {
        expect(valueIn(`X='1'\nA='${value}'\nY='2'\n`, "A")).toBe(value);
      },
    ),
  );
});

test("files are read from the pod's own volume, and no link leads out of it", async () => {
  const dir = await mkdtemp(join(tmpdir(), "knarr-env-"));
  onTestFinished(() => rm(dir, { recursive: true }));
  const volume = join(dir, "volume");
  await mkdir(volume);
  await writeFile(join(dir, "secret"), "A='stolen'");
  await writeFile(join(volume, "config.env"), "A='mine'");
  await symlink("../secret", join(volume, "out.env"));
  const volumes = new Map([["config", volume]]);
  const from = (path: string, optional = false, volumeName = "config") => {
    const selector = { volumeName, path, key: "A", optional };
    const container = makeContainer("main", { env: [{ name: "A", valueFrom: { fileKeyRef: selector } }] });
    return envFilesFor(container, volumes).then((files) => fileValue(selector, files));
  };
  expect(await from("config.env")).toBe("mine");
  expect(await from("none.env", true)).toBeUndefined();
  await expect(from("none.env")).rejects.toThrow('environment variable key "A" not found in file "none.env"');
  await expect(from("out.env")).rejects.toThrow("leads out of its volume");
  await expect(from("config.env", false, "gone")).rejects.toThrow('cannot find the volume "gone"');
  await writeFile(join(volume, "config.env"), "A=mine");
  await expect(from("config.env")).rejects.toThrow("couldn't parse env file");
});
