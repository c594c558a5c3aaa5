/** Bundles the two entries into `dist/`: `knarr.js` (command line) and `index.js` (library), plus their workers. */
import { writeFileSync } from "node:fs";
import { build } from "esbuild";

await build({
  entryPoints: {
    knarr: "src/cli/main.ts",
    index: "src/distro/index.ts",
    "store-writer": "src/store/writer.ts",
  },
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
  // CommonJS dependencies call require for Node's own modules.
  banner: { js: 'import { createRequire as $cr } from "node:module"; const require = $cr(import.meta.url);' },
});
writeFileSync("dist/.built", "");
