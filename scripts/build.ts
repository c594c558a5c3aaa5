/** Bundles the two entries into `dist/`: `knarr.js` (command line) and `index.js` (library), plus their workers and processes. */
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const out = "dist";
/** A server that was started from an earlier bundle may still load parts of it. */
const keepMs = 7 * 24 * 3600 * 1000;

await build({
  entryPoints: {
    knarr: "src/cli/main.ts",
    index: "src/distro/index.ts",
    "store-writer": "src/store/writer.ts",
    "dns-standby": "src/distro/dns-standby-main.ts",
  },
  outdir: out,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  // A third less source text to read at start and to keep in memory; names stay for stack traces.
  minifyWhitespace: true,
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  // CommonJS dependencies call require for Node's own modules.
  banner: { js: 'import { createRequire as $cr } from "node:module"; const require = $cr(import.meta.url);' },
});
for (const entry of readdirSync(out, { withFileTypes: true })) {
  const file = join(out, entry.name);
  if (entry.isFile() && Date.now() - statSync(file).mtimeMs > keepMs) rmSync(file);
}
writeFileSync(join(out, ".built"), "");
