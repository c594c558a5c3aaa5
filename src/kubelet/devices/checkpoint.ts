/** What pods have of devices, on the disk: containers go on while the kubelet is away, and keep what they have. */
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf, writeDurably } from "#base";
import type { Allocation } from "./allocation.ts";

export interface Checkpoint {
  allocations: Allocation[];
  /** Of all plugins that have been there. */
  resources: string[];
}

/** Nothing where there is no file. Throws for one that cannot be read. */
export async function readCheckpoint(file: string): Promise<Checkpoint> {
  try {
    const { allocations, resources } = JSON.parse(await readFile(file, "utf8")) as Checkpoint;
    if (!Array.isArray(allocations) || !Array.isArray(resources)) throw new Error("the file is damaged");
    return { allocations, resources };
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { allocations: [], resources: [] };
    throw error;
  }
}

export async function writeCheckpoint(file: string, checkpoint: Checkpoint): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o750 });
  await writeDurably(file, JSON.stringify(checkpoint));
}
