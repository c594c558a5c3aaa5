/**
 * An esbuild plugin: `import { a } from "#room"` is read as an import from the file of that room which has `a`. By the
 * room's index every command would load every room whole, whatever it needs of them.
 * https://esbuild.github.io/api/#splitting
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Plugin } from "esbuild";

/** Where a name is declared, and what it is called there. */
interface Origin {
  file: string;
  name: string;
}

/** As Biome writes them: nothing else stands in an index. */
const namedExports = /^export \{([^}]*)\} from "(\.[^"]+)";$/gm;
const starExports = /^export \* from "(\.[^"]+)";$/gm;
const declarations = /^export (?:declare )?(?:abstract |async )*(?:const|let|class|function\*?) ([\w$]+)/gm;
const roomImports = /^(import|export) \{([^}]*)\} from "#(\w+)";$/gm;

/** `a, b as c, type D`: the names that are there at run time. */
function specifiers(list: string): { name: string; as: string }[] {
  return list
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part && !part.startsWith("type "))
    .map((part) => {
      const [name = "", as = name] = part.split(" as ");
      return { name, as };
    });
}

/** Everything that `file` exports, from wherever it is. */
function exportsOf(file: string): Map<string, Origin> {
  const text = readFileSync(file, "utf8");
  const found = new Map<string, Origin>();
  for (const [, path = ""] of text.matchAll(starExports))
    for (const [name, origin] of exportsOf(join(dirname(file), path))) found.set(name, origin);
  for (const [, list = "", path = ""] of text.matchAll(namedExports))
    for (const { name, as } of specifiers(list)) found.set(as, { file: join(dirname(file), path), name });
  for (const [, name = ""] of text.matchAll(declarations)) found.set(name, { file, name });
  return found;
}

export function directImports(root: string): Plugin {
  const rooms = new Map<string, Map<string, Origin>>();
  const room = (name: string) => {
    const known = rooms.get(name) ?? exportsOf(join(root, name, "index.ts"));
    rooms.set(name, known);
    return known;
  };
  const direct = (keyword: string, list: string, from: string): string =>
    specifiers(list)
      .map(({ name, as }) => {
        const origin = room(from).get(name);
        if (!origin) throw new Error(`#${from} has no ${name}`);
        return `${keyword} { ${origin.name} as ${as} } from ${JSON.stringify(origin.file)};`;
      })
      .join(" ");
  return {
    name: "direct-imports",
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        if (!path.startsWith(root)) return undefined;
        const text = await readFile(path, "utf8");
        const contents = text.replace(roomImports, (whole, keyword, list, from) => {
          // Lines stay where they are, for stack traces.
          const lines = whole.split("\n").length - 1;
          return direct(keyword, list, from) + "\n".repeat(lines);
        });
        return { contents, loader: "ts" };
      });
    },
  };
}
