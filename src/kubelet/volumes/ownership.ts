/**
 * Gives what lies in a volume to the pod's group. The volume may hold links that somebody changes meanwhile: every name
 * is opened without following it, below a folder that is held open, and what is changed is what was opened.
 * https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#set-the-security-context-for-a-pod
 */
import { constants } from "node:fs";
import { chmod, chown, type FileHandle, open, readdir, stat } from "node:fs/promises";
import { codeOf } from "#base";

/** Linux's O_PATH, which Node has no name for: a place in the tree, whatever is there, without opening that. */
const pathOnly = 0o10000000 | constants.O_NOFOLLOW;

/** The name by which this process can reach what it holds open, wherever that is now. */
export const heldPath = (file: FileHandle) => `/proc/self/fd/${file.fd}`;

/** Holds on to what is at `path` while `work` is done, without following a link in its last part. */
export async function holding<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, pathOnly);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

const forFolder = 0o2070;
const forFile = 0o060;

async function giveBelow(path: string, gid: number): Promise<void> {
  await holding(path, async (file) => {
    const info = await file.stat();
    if (info.isSymbolicLink()) return;
    const held = heldPath(file);
    await chown(held, info.uid, gid);
    await chmod(held, (info.mode & 0o7777) | (info.isDirectory() ? forFolder : forFile));
    if (!info.isDirectory()) return;
    for (const name of await readdir(held)) await giveBelow(`${held}/${name}`, gid).catch(ignoreGone);
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
