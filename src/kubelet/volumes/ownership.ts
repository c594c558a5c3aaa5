/**
 * Gives what lies in a volume to the pod's group, and nothing that its links lead to, whoever changes them meanwhile.
 * https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
 */
import { chmod, chown, readdir, stat } from "node:fs/promises";
import { codeOf } from "#base";
import { heldPath, holding } from "./held.ts";

const forFolder = 0o2070;
const forFile = 0o060;

async function giveBelow(path: string, gid: number): Promise<void> {
  await holding(path, async (file) => {
    const info = await file.stat();
    if (info.isSymbolicLink()) return;
    const held = heldPath(file);
    // What lies in a folder first: a folder that is the group's is so with all it holds, whenever this process ends.
    if (info.isDirectory())
      for (const name of await readdir(held)) await giveBelow(`${held}/${name}`, gid).catch(ignoreGone);
    await chown(held, info.uid, gid);
    await chmod(held, (info.mode & 0o7777) | (info.isDirectory() ? forFolder : forFile));
  });
}

function ignoreGone(error: unknown): void {
  if (codeOf(error) !== "ENOENT") throw error;
}

/** Whether the root has been given to the group before; upstream's `OnRootMismatch` looks no deeper. */
async function isGroups(path: string, gid: number): Promise<boolean> {
  const { gid: owner, mode } = await stat(path);
  return owner === gid && (mode & forFolder) === forFolder;
}

export async function giveToGroup(path: string, gid: number, onRootMismatch = false): Promise<void> {
  if (!onRootMismatch || !(await isGroups(path, gid))) await giveBelow(path, gid);
}
