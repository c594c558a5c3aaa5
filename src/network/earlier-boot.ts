/**
 * When the machine has started again, no pod has its link any more: what was noted of them is of no use, and what a cut of power
 * has left empty is in the way. A result that cannot be read keeps its sandbox from ever being removed
 * (https://www.cni.dev/docs/spec/#del-remove-container-from-network-or-un-apply-modifications), and a lease that names nobody is never given back.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Where containerd's CNI library notes what the plugins answered, for all networks of the machine. */
const resultsDir = "/var/lib/cni/results";

export async function forgetEarlierBoot(stateDir: string, results = resultsDir): Promise<void> {
  const note = join(stateDir, "boot-id");
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
  if ((await textOf(note)) === boot) return;
  await rm(stateDir, { recursive: true, force: true });
  await mkdir(stateDir, { recursive: true });
  for (const name of await readdir(results).catch(() => [])) {
    const file = join(results, name);
    if (!isJson(await textOf(file))) await rm(file, { force: true });
  }
  await writeFile(note, boot);
}

/** Empty where there is none. */
function textOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
