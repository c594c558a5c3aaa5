/**
 * The sentences that `kubectl explain` shows, out of the doc comments of `@kubernetes/client-node`'s models, as
 * compressed JSON: `{ "io.k8s.api.core.v1.Pod": { "": "about the type", "spec": "about the field" } }`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { SpecType } from "./types.ts";

const modelsDir = "node_modules/@kubernetes/client-node/dist/gen/models";

function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** The model's file of a type: names that several groups use carry the group in front. */
function modelFile(fullName: string): string | undefined {
  const [group, version, name] = fullName.split(".").slice(-3);
  const candidates = [
    `${capitalized(group!)}${capitalized(version!)}${name}`,
    `${capitalized(version!)}${name}`,
  ];
  return candidates.map((c) => join(modelsDir, `${c}.d.ts`)).find((file) => existsSync(file));
}

function plain(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\*? ?/, ""))
    .join("\n")
    .trim()
    .replace(/\\(['"`])/g, "$1")
    .replaceAll("*_/", "*/");
}

function describe(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  const comment = /\/\*\*((?:[^*]|\*(?!\/))*)\*\/\s*(?:export declare class \w+|'([^']+)'\??:)/g;
  for (const match of text.matchAll(comment)) found[match[2] ?? ""] = plain(match[1]!);
  return found;
}

/** The module with all of them. */
export function descriptionsModule(types: Record<string, SpecType>): string {
  const all: Record<string, Record<string, string>> = {};
  for (const fullName of Object.keys(types).sort()) {
    const file = modelFile(fullName);
    if (!file) continue;
    const found = describe(readFileSync(file, "utf8"));
    const fields = types[fullName]!.fields ?? {};
    // The same short name in another group is another type: its fields tell.
    if (Object.keys(found).length > 0 && (Object.keys(fields).some((f) => f in found) || found[""]))
      all[fullName] = found;
  }
  const packed = gzipSync(JSON.stringify(all), { level: 9 }).toString("base64");
  return `/** gzip, base64, of JSON: by type, then by field (the empty one is the type itself). */\nexport const descriptionsPacked =\n  ${JSON.stringify(packed)};\n`;
}
