/**
 * Turns the facts of the Kubernetes API (a folder with `types.json` and `resources.json`) into the project's own
 * tables: one file of TypeScript types per group version under `src/api/generated/`.
 *
 * Usage: `npm run generate -- FOLDER` (default `../shared/spec`). The results are committed; nothing else needs FOLDER.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type SpecType, typeFiles } from "./generate/types.ts";

const specDir = process.argv[2] ?? "../shared/spec";
const outDir = "src/api/generated";

const types: Record<string, SpecType> = JSON.parse(readFileSync(join(specDir, "types.json"), "utf8"));

rmSync(join(outDir, "types"), { recursive: true, force: true });
mkdirSync(join(outDir, "types"), { recursive: true });
for (const [name, text] of typeFiles(types)) {
  writeFileSync(join(outDir, "types", name), text);
}
