/**
 * An image that serves HTTP, datagrams and gRPC: this machine's own Node with its libraries, and one script. It needs no
 * registry and no compiler.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runOk } from "#base";
import { buildImage, type LayerFile } from "#runtime";

export const agnhostImage = "knarr.local/agnhost:1";

/** The dynamic loader and every library it would load, where the program looks for them. */
async function librariesOf(program: string): Promise<LayerFile[]> {
  const lines = (await runOk("ldd", [program])).split("\n");
  const paths = lines.flatMap((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  return paths.map((path) => ({ path: path.slice(1), file: path, mode: 0o755 }));
}

/** Node as an image's layer: `/bin/node` and what it needs. */
export async function nodeLayer(): Promise<LayerFile[]> {
  return [
    { path: "bin/node", file: process.execPath, mode: 0o755 },
    ...(await librariesOf(process.execPath)),
    { path: "tmp", directory: true, mode: 0o1777 },
  ];
}

/** Writes the image's archive to `file`. */
export async function writeAgnhostImage(file: string): Promise<void> {
  const script = await readFile(join(import.meta.dirname, "fixtures/agnhost.ts"));
  const layer: LayerFile[] = [
    ...(await nodeLayer()),
    { path: "agnhost.ts", content: script },
    { path: "agnhost", content: '#!/bin/node\nimport("/agnhost.ts");\n', mode: 0o755 },
  ];
  const config = { entrypoint: ["/agnhost"] };
  await writeFile(file, await buildImage({ name: agnhostImage, layers: [layer], config }));
}
