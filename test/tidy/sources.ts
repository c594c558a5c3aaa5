/** The project's own files and imports, as the house rules look at them. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

export const root = join(import.meta.dirname, "../..");

export interface Source {
  /** From the project's root: `src/api/index.ts`. */
  path: string;
  text: string;
  /** The room, for files under `src/`. */
  room: string | undefined;
  /** Paths of the project's own files, or `#room` for another room's front door. */
  imports: string[];
}

const skipped = new Set(["node_modules", "dist", ".git", "coverage"]);

export function filesUnder(folder: string, wanted: (name: string) => boolean): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return [];
    const path = normalize(join(folder, entry.name));
    if (entry.isDirectory()) return filesUnder(path, wanted);
    return entry.isFile() && wanted(entry.name) ? [path] : [];
  });
}

/** Static and dynamic imports, re-exports, and `new URL("./worker.ts", import.meta.url)`. */
const importPatterns = [
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s*["']([^"']+)["']/g,
  /(?:^|\n)\s*import\s*["']([^"']+)["']/g,
  /\bimport\(\s*["']([^"']+)["']\s*\)/g,
  /new URL\(\s*["'](\.[^"']+\.ts)["']/g,
];

function importsOf(path: string, text: string): string[] {
  const found = importPatterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]!));
  return found.flatMap((target) => {
    if (target.startsWith(".")) return [relative(root, join(root, dirname(path), target))];
    return target.startsWith("#") ? [target] : [];
  });
}

export const sources: readonly Source[] = ["src", "test", "bench", "scripts"]
  .flatMap((folder) => filesUnder(folder, (name) => name.endsWith(".ts")))
  .map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    const room = /^src\/([^/]+)\//.exec(path)?.[1];
    return { path, text, room, imports: importsOf(path, text) };
  });

export function isGenerated(path: string): boolean {
  return path.includes("/generated/");
}

export function isTest(path: string): boolean {
  return (
    /\.(test|suite|bench|fuzz)\.ts$/.test(path) || path.startsWith("test/") || path.includes("/testing/")
  );
}
