/**
 * Places in the tree that are held on to. A volume may hold links that somebody changes at any moment: each name is opened
 * without following it, below a folder that is held open, and what is done is done to what was opened.
 * https://man7.org/linux/man-pages/man2/open.2.html (O_PATH)
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Linux's O_PATH, which Node has no name for: a place in the tree, whatever is there, without opening that. */
const pathOnly = 0o10000000 | constants.O_NOFOLLOW;

/** A name by which this process reaches what it holds, wherever that is now. */
export const heldPath = (file: FileHandle) => `/proc/self/fd/${file.fd}`;

/** The same for the programs that it runs. */
export const heldPathForOthers = (file: FileHandle) => `/proc/${process.pid}/fd/${file.fd}`;

export const hold = (path: string) => open(path, pathOnly);

/** Holds on to what is at `path` while `work` is done, without following a link in its last part. */
export async function holding<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await hold(path);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}
