/**
 * Variables from files that another container of the pod has written: `NAME='value'`, line by line.
 * https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file
 */
import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { ContainerConfigError } from "./environment.ts";
import { heldPath } from "./volumes/held.ts";
import { holdingSubPath } from "./volumes/sub-paths.ts";

/** Files by `volume/path`; those that are not there are not in it. */
export type EnvFiles = ReadonlyMap<string, string>;

const fileMaxBytes = 64 * 1024;
const keyOf = ({ volumeName, path }: Readonly<corev1.FileKeySelector>) => `${volumeName}/${path}`;

/**
 * The value of one variable; undefined where the file has none of the name. Values stand in single quotes, and may have
 * several lines; blank lines and those that begin with `#` count for nothing. Throws an `Error` for what is no such file.
 */
export function valueIn(text: string, name: string): string | undefined {
  const entry =
    /[ \t]*(?:(?:#[^\n]*)?(?:\n|$)|([^\s=#][^=\n]*?)[ \t]*=[ \t]*'([^']*)'[ \t]*(?:#[^\n]*)?(?:\n|$))/y;
  const normal = text.replaceAll("\r\n", "\n");
  let found: string | undefined;
  while (entry.lastIndex < normal.length) {
    const at = entry.lastIndex;
    const match = entry.exec(normal);
    if (!match)
      throw new Error(`the line ${normal.slice(0, at).split("\n").length} is not like NAME='value'`);
    if (match[1] === name) found = match[2];
  }
  return found;
}

/** Throws `ContainerConfigError` in upstream's words. */
export function fileValue(
  { key, path, optional, ...rest }: Readonly<corev1.FileKeySelector>,
  files: EnvFiles,
): string | undefined {
  const text = files.get(keyOf({ key, path, ...rest }));
  let value: string | undefined;
  try {
    value = text === undefined ? undefined : valueIn(text, key);
  } catch {
    throw new ContainerConfigError("couldn't parse env file");
  }
  if (value === undefined && !optional)
    throw new ContainerConfigError(`environment variable key "${key}" not found in file "${path}"`);
  return value;
}

/** The volume is the pod's to write: nothing but a small plain file of its own is read. */
async function readWithin(volumePath: string, path: string): Promise<string | undefined> {
  const exists = await realpath(join(volumePath, path)).catch(() => undefined);
  if (exists === undefined) return undefined;
  return holdingSubPath(volumePath, path, async (held) => {
    const info = await held.stat();
    if (!info.isFile() || info.size > fileMaxBytes) throw new ContainerConfigError("couldn't parse env file");
    const file = await open(heldPath(held), constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const buffer = Buffer.alloc(fileMaxBytes);
      const { bytesRead } = await file.read(buffer, 0, fileMaxBytes, 0);
      return buffer.subarray(0, bytesRead).toString("utf8");
    } finally {
      await file.close();
    }
  });
}

/** The files that a container's environment names. */
export async function envFilesFor(
  container: Readonly<corev1.Container>,
  volumes: ReadonlyMap<string, string>,
): Promise<EnvFiles> {
  const files = new Map<string, string>();
  for (const { valueFrom } of container.env ?? []) {
    const wanted = valueFrom?.fileKeyRef;
    if (!wanted || files.has(keyOf(wanted))) continue;
    const volumePath = volumes.get(wanted.volumeName);
    if (!volumePath)
      throw new ContainerConfigError(
        `cannot find the volume "${wanted.volumeName}" referenced by FileKeyRef`,
      );
    const text = await readWithin(volumePath, wanted.path);
    if (text !== undefined) files.set(keyOf(wanted), text);
  }
  return files;
}
