/** Bundles the two entries into `dist/`: `knarr.js` (command line) and `index.js` (library), plus their workers and processes. */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { directImports } from "./direct-imports.ts";
import { lazyHttp } from "./lazy-http.ts";

const out = "dist";
/** A server that was started from an earlier bundle may still load parts of it. */
const keepMs = 7 * 24 * 3600 * 1000;

/** Two builds: what the commands share is in many small files, and the library would have to read them all. */
const programs: Record<string, string>[] = [
  { knarr: "src/cli/main.ts" },
  {
    index: "src/distro/index.ts",
    "store-writer": "src/store/writer.ts",
    "dns-standby": "src/distro/dns-standby-main.ts",
  },
];
const options = {
  outdir: out,
  bundle: true,
  splitting: true,
  plugins: [directImports(join(import.meta.dirname, "..", "src")), lazyHttp],
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
} satisfies BuildOptions;
/** V8 keeps a text with one such character in two bytes each; esbuild escapes them everywhere but in regular expressions. */
const beyondAscii = /[^\0-\x7f]/;
for (const entryPoints of programs) {
  const { metafile } = await build({ ...options, metafile: true, entryPoints });
  for (const file of Object.keys(metafile.outputs).filter((name) => name.endsWith(".js"))) {
    const [found] = beyondAscii.exec(readFileSync(file, "utf8")) ?? [];
    if (found) throw new Error(`${file} has "${found}": write it as an escape`);
  }
}
for (const entry of readdirSync(out, { withFileTypes: true })) {
  const file = join(out, entry.name);
  if (entry.isFile() && Date.now() - statSync(file).mtimeMs > keepMs) rmSync(file);
}
writeFileSync(join(out, ".built"), "");
