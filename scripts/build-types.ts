/** The type declarations of the library entry, into `dist/types`; only a published package needs them. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const out = "dist/types";
rmSync(out, { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["--project", "tsconfig.types.json"], { stdio: "inherit" });

/** Outside this package `#api` means nothing: such imports become relative ones. */
for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = join(entry.parentPath, entry.name);
  const text = readFileSync(file, "utf8").replace(/(["'])#([a-z]+)\1/g, (_, quote: string, room: string) => {
    const target = relative(dirname(file), join(out, "src", room, "index.js"));
    return quote + (target.startsWith(".") ? target : `./${target}`) + quote;
  });
  writeFileSync(file, text.replace(/(from\s+["'][^"']+)\.ts(["'])/g, "$1.js$2"));
}
