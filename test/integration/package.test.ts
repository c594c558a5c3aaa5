/** The package as its users install it: the command line by its `bin`, the library by its name, types included. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runOk } from "#base";

const root = join(import.meta.dirname, "../..");
let folder: string;

// The clone's .npmrc keeps scripts of dependencies from running; the package's own build must.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-package-"));
  const archive = (
    await runOk("npm", ["pack", "--silent", "--ignore-scripts=false", "--pack-destination", folder], {
      cwd: root,
    })
  )
    .trim()
    .split("\n")
    .at(-1)!;
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  await runOk("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", archive], {
    cwd: folder,
    timeoutMs: 120_000,
  });
}, 180_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test("the command line runs from the package's bin", async () => {
  expect(await runOk(join(folder, "node_modules/.bin/knarr"), ["--version"])).toContain("knarr 0.");
});

test("the library starts a cluster, and its types are known", async () => {
  const program = `import { Cluster } from "knarr";
await using cluster = await Cluster.start({ nodes: 2 });
const [object] = await cluster.apply("apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: packed}\\ndata: {k: v}");
const name: string = object!.metadata.name;
console.log(name);
`;
  await writeFile(join(folder, "program.ts"), program);
  expect(await runOk(process.execPath, ["program.ts"], { cwd: folder })).toBe("packed\n");
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--skipLibCheck"];
  const lib = [
    "--lib",
    "es2024,esnext.disposable",
    "--types",
    "node",
    "--typeRoots",
    join(root, "node_modules/@types"),
  ];
  await runOk(join(root, "node_modules/.bin/tsc"), [...options, ...lib, "program.ts"], { cwd: folder });
});
