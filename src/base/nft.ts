/** The `nft` program: rulesets in, one transaction each. */
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "./clock.ts";
import { run, runOk } from "./process.ts";
import { systemRandom } from "./random.ts";

/**
 * Applies `rules` as one transaction. A file, because nft cannot read a socket, which is what a child's stdin is; its
 * name cannot be foreseen, and `wx` follows no link that somebody else put there.
 */
export async function applyNftRules(rules: string): Promise<void> {
  const file = join(tmpdir(), `knarr-${systemRandom.suffix(16)}.nft`);
  await writeFile(file, rules, { mode: 0o600, flag: "wx" });
  try {
    await runOk("nft", ["-f", file]);
  } finally {
    await rm(file, { force: true });
  }
}

export type NftFamily = "ip" | "ip6" | "inet";

const deleteTries = 10;
const betweenTriesMs = 100;

/** Idempotent. Tried again while it fails: another program's transaction at the same moment makes the kernel refuse. */
export async function deleteNftTable(table: string, family: NftFamily = "ip"): Promise<void> {
  for (let i = 0; ; i++) {
    const { code, stderr } = await run("nft", ["delete", "table", family, table]);
    if (code === 0 || stderr.includes("No such file or directory")) return;
    if (i === deleteTries) throw new Error(`nft cannot delete the table ${table}: ${stderr.trim()}`);
    await systemClock.sleep(betweenTriesMs);
  }
}

/** The table of one part of a cluster, `knarr_NAME_network`: letters and digits only, as nft wants them. */
export function nftTableName(clusterName: string, part: string): string {
  return `knarr_${clusterName.replace(/[^a-z0-9]/g, "_")}_${part}`;
}
