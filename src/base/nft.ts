/** The `nft` program: rulesets in, one transaction each. */
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runOk } from "./process.ts";

let files = 0;

/** Applies `rules` as one transaction. A file, because nft cannot read a socket, which is what a child's stdin is. */
export async function applyNftRules(rules: string): Promise<void> {
  const file = join(tmpdir(), `knarr-${process.pid}-${files++}.nft`);
  await writeFile(file, rules, { mode: 0o600 });
  try {
    await runOk("nft", ["-f", file]);
  } finally {
    await rm(file, { force: true });
  }
}

/** True when there was such a table. */
export async function deleteNftTable(table: string): Promise<boolean> {
  return (await run("nft", ["delete", "table", "ip", table])).code === 0;
}

export async function hasNftTable(table: string): Promise<boolean> {
  return (await run("nft", ["-t", "list", "table", "ip", table])).code === 0;
}
