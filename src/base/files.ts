/** Files that must not be half there, whatever ends the process or the machine. */
import { rename, writeFile } from "node:fs/promises";
import { run } from "./process.ts";

/**
 * The file has its former content or this one: also when power is cut, after which a file that was not flushed may be empty
 * under its new name.
 */
export async function writeDurably(path: string, content: string, mode = 0o600): Promise<void> {
  const fresh = `${path}.new`;
  await writeFile(fresh, content, { mode, flush: true });
  await rename(fresh, path);
}

/** How long a slow disk may take. */
const flushMs = 10 * 60_000;

/** Everything that was written to the disk of this folder lies there; where that cannot be had, it comes by itself later. */
export async function flushDisk(dir: string): Promise<void> {
  await run("sync", ["--file-system", dir], { timeoutMs: flushMs }).catch(() => {});
}
